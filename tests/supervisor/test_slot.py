"""A place for a replica, with replicas that do as they are told in place of processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any, Callable

import pytest

from toolkit.errors import ServiceError
from toolkit.gateway import status
from toolkit.gateway.pool import Pool
from toolkit.serving.release import Limits
from toolkit.supervisor import slot as slots
from toolkit.supervisor.slot import Slot

MEGABYTE = 1 << 20
LIMITS = Limits(
    threads=1,
    replicas=1,
    workers=2,
    queue=1,
    max_body_bytes=1,
    max_connections=1,
    header_seconds=1,
    deadline_seconds=20,
    start_seconds=1,
    grace_seconds=0,
    golden_interval_seconds=1000,
    golden_deadline_seconds=1000,
    memory_limit_megabytes=100,
)


class Replica:
    """Stands in for a `ReplicaProcess`; `end` and `megabytes` say what becomes of it.

    Attributes:
        failure: raised by `start`.
        warm: whether it was started to warm up; None: it was not started.
    """

    def __init__(self, generation: int, failure: Exception | None = None) -> None:
        self.generation = generation
        self.endpoint = SimpleNamespace(index=0, in_flight=0, alone=False)
        self.golden_at: float | None = None
        self.exit_code: int | None = None
        self.pid = generation
        self.pulse = 0
        self.megabytes = 10
        self.end = asyncio.Event()
        self.stops = 0
        self.warm: bool | None = None
        self._failure = failure

    async def start(self, warm: bool = True) -> None:
        self.warm = warm
        if self._failure is not None:
            raise self._failure
        await self.ask_golden()

    async def ask_golden(self, wait: bool = False) -> None:
        self.golden_at = time.monotonic()

    async def ends_within(self, seconds: float) -> bool:
        await asyncio.wait({asyncio.ensure_future(self.end.wait())}, timeout=min(seconds, 0.01))
        return self.end.is_set()

    def usage(self) -> tuple[int, float]:
        return self.megabytes * MEGABYTE, 0.0

    async def stop(self, grace: float) -> None:
        self.stops += 1
        self.end.set()


class Place:
    """A slot and the replicas that have filled it.

    Attributes:
        made: all of them.
        failures: of the next starts.
    """

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.made: list[Replica] = []
        self.pool = Pool(2)
        make: Any = self._make
        self.slot = Slot(0, make, self.pool, LIMITS)

    def _make(self, generation: int) -> Replica:
        self.made.append(Replica(generation, self.failures.pop(0) if self.failures else None))
        return self.made[-1]

    async def until(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not done():
            assert time.monotonic() < end
            await asyncio.sleep(0.005)


def live(work: Callable[[Place], Awaitable[None]]) -> Place:
    """Start a slot, do `work` while it runs, and stop it."""

    async def inside() -> Place:
        place = Place()
        await place.slot.start()
        running = asyncio.ensure_future(place.slot.run())
        try:
            await work(place)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await place.slot.stop(grace=0)
        return place

    return asyncio.run(inside())


@pytest.fixture(autouse=True)
def no_time_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "STABLE_SECONDS", 0.0)
    monkeypatch.setattr(slots.Backoff, "seconds", 0.0)


def test_a_replica_that_ends_is_replaced() -> None:
    async def work(place: Place) -> None:
        place.made[0].end.set()
        await place.until(lambda: place.slot.status.pid == 2)
        assert place.slot.status.restarts == (("exit", 1),)
        assert place.pool.size == 1
        assert place.made[0].stops == 1

    live(work)


@pytest.mark.parametrize("failure", [ServiceError("it ended"), OSError(28, "No space left on device")])
def test_a_replica_that_could_not_be_started_is_stopped_before_the_next_attempt(failure: Exception) -> None:
    async def work(place: Place) -> None:
        place.failures = [failure, failure]
        place.made[0].end.set()
        await place.until(lambda: place.slot.status.state == status.READY and place.slot.status.pid == 4)
        assert [item.stops for item in place.made] == [1, 1, 1, 0]
        assert place.slot.status.restarts == (("exit", 1), ("start", 2))

    live(work)


def test_a_replica_warms_up_when_it_is_the_first_and_not_when_clients_wait_for_it() -> None:
    async def work(place: Place) -> None:
        place.failures = [ServiceError("it ended")]
        place.made[0].end.set()
        await place.until(lambda: place.slot.status.pid == 3)
        assert [item.warm for item in place.made] == [True, False, False]

    live(work)


def test_a_replica_warms_up_while_another_one_serves() -> None:
    async def work(place: Place) -> None:
        other: Any = SimpleNamespace(index=1, in_flight=0, alone=False)
        place.pool.add(other)
        place.made[0].end.set()
        await place.until(lambda: place.slot.status.pid == 2)
        assert place.made[1].warm

    live(work)


def test_the_successor_of_a_swollen_replica_warms_up_since_that_one_still_serves() -> None:
    async def work(place: Place) -> None:
        place.made[0].megabytes = 90
        await place.until(lambda: place.slot.status.pid == 2)
        assert place.made[1].warm

    live(work)


def test_a_swollen_replica_is_replaced_in_peace_and_finishes_what_it_has() -> None:
    async def work(place: Place) -> None:
        old = place.made[0]
        old.endpoint.in_flight, old.megabytes = 1, 90
        await place.until(lambda: place.slot.status.pid == 2)
        assert (place.pool.size, old.stops) == (1, 0)
        old.endpoint.in_flight = 0
        await place.until(lambda: old.stops == 1)

    live(work)


def test_the_successor_is_watched_while_the_old_one_finishes() -> None:
    async def work(place: Place) -> None:
        old = place.made[0]
        old.endpoint.in_flight, old.megabytes = 1, 90
        await place.until(lambda: place.slot.status.pid == 2)
        place.made[1].end.set()
        began = time.monotonic()
        await place.until(lambda: place.slot.status.pid == 3)
        assert time.monotonic() - began < LIMITS.deadline_seconds / 2
        assert old.stops == 0

    live(work)


def test_a_stop_does_not_wait_for_the_requests_of_a_swollen_replica_and_leaves_none() -> None:
    async def work(place: Place) -> None:
        place.made[0].endpoint.in_flight, place.made[0].megabytes = 1, 90
        await place.until(lambda: place.slot.status.pid == 2)

    began = time.monotonic()
    place = live(work)
    assert time.monotonic() - began < LIMITS.deadline_seconds / 2
    assert [item.stops for item in place.made] == [1, 1]
