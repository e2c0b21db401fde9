from __future__ import annotations

from typing import Any

import pytest

from tests.jobs import attempt_all


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the rewrite makes of the module's `CASES`, by name; all in one process."""
    cases = request.module.CASES
    log = tmp_path_factory.mktemp("rewrites") / "log"
    return dict(zip(cases, attempt_all(list(cases.values()), log)))
