"""How a replica process is started; that it serves is tested with the whole service."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from toolkit import process
from toolkit.errors import ServiceError
from toolkit.serving import release
from toolkit.supervisor.replica import ReplicaProcess

LIMITS = SimpleNamespace(workers=1, max_body_bytes=1, threads=1, warm_seconds=2.5, start_seconds=1)
PLAN: Any = SimpleNamespace(name="ocr", accepts="image", limits=LIMITS)


@pytest.mark.parametrize(("warm", "seconds"), [(True, "2.5"), (False, "0.0")])
def test_a_replica_is_told_how_long_it_may_warm_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: bool, seconds: str
) -> None:
    started: list[list[str]] = []

    def start(argv: list[str], **_: Any) -> Any:
        started.append(argv)
        raise OSError("that is enough")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(process, "start", start)
    monkeypatch.setattr(release, "cheapest_golden", lambda directory: (b"", {}))

    async def work() -> None:
        replica = ReplicaProcess(0, 1, tmp_path, PLAN)
        with pytest.raises(OSError, match="that is enough"):
            await replica.start(warm)
        await replica.stop(grace=0)

    asyncio.run(work())
    ((*_, told),) = started
    assert told == seconds


def test_a_replica_keeps_to_the_processors_that_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {max(os.sched_getaffinity(0))}
    start = process.start
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(process, "start", lambda argv, **options: start(["sleep", "60"], **options))
    monkeypatch.setattr(release, "cheapest_golden", lambda directory: (b"", {}))

    async def work() -> set[int]:
        replica = ReplicaProcess(0, 1, tmp_path, PLAN, frozenset(here))
        with pytest.raises(ServiceError, match="gave no answer"):
            await replica.start()
        found = os.sched_getaffinity(replica.pid)
        await replica.stop(grace=0)
        return found

    assert asyncio.run(work()) == here
