"""One deployment for all tests that only ask it, with INT8 tried and judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.harness import Place, place


@pytest.fixture(scope="session")
def prepared() -> Iterator[Place]:
    """A place with a release in FP32, of which others may begin."""
    with place() as here:
        done = here.run("render", "--precision", "fp32", "--data", str(here.data), timeout=900)
        assert done.code == 0, done.stderr
        yield here


@pytest.fixture(scope="session")
def deployment() -> Iterator[tuple[Place, Any]]:
    with place() as here:
        done = here.deploy()
        assert done.code == 0, done.stderr
        yield here, done.json
