from __future__ import annotations

from typing import Any

import pytest

from tests.jobs import attempt_all

Outcomes = dict[str, Any]


@pytest.fixture(scope="session")
def attempted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[Any, Outcomes]:
    """What came of the `CASES` of all modules that leave it to the fixture below; by module and name.

    In one process, since to start Paddle takes longer than all of them.
    """
    modules = dict.fromkeys(
        item.module
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module.__name__.startswith(f"{__package__}.")
    )
    cases = [
        (module, name)
        for module in modules
        if not hasattr(module, "outcomes")
        for name in getattr(module, "CASES", ())
    ]
    jobs = [module.CASES[name] for module, name in cases]
    found: dict[Any, Outcomes] = {module: {} for module in modules}
    for (module, name), outcome in zip(cases, attempt_all(jobs, tmp_path_factory.mktemp("cases") / "log")):
        found[module][name] = outcome
    return found


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, attempted: dict[Any, Outcomes]) -> Outcomes:
    """What came of the module's `CASES`, by name."""
    return attempted[request.module]
