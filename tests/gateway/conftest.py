from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import NEWER, FakeReplica, Plan
from tests.gateway.harness import Door, options


@pytest.fixture(scope="session")
def shared_replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeReplica]:
    with FakeReplica(tmp_path_factory.mktemp("replica") / "r.sock") as fake:
        yield fake


@pytest.fixture(scope="session")
def shared_door(shared_replica: FakeReplica) -> Iterator[Door]:
    with Door(
        shared_replica.target, settings=options(max_body_bytes=100_000, deadline=5.0), depth=16
    ) as running:
        yield running


@pytest.fixture
def replica(shared_replica: FakeReplica) -> FakeReplica:
    """A fake with a plan of its own; whoever stops it starts it again."""
    shared_replica.plan = Plan()
    return shared_replica


@pytest.fixture
def door(shared_door: Door, replica: FakeReplica) -> Door:
    return shared_door


@pytest.fixture
def newer(tmp_path: Path) -> Iterator[FakeReplica]:
    """A replica of a newer release, which reads `NEWER`."""
    with FakeReplica(tmp_path / "newer.sock") as fake:
        fake.plan.lines = NEWER
        yield fake
