"""All replicas of a release, and whether the service can answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from toolkit import cpu
from toolkit.gateway import status
from toolkit.gateway.endpoint import Endpoint
from toolkit.gateway.pool import Pool
from toolkit.gateway.status import ReplicaStatus
from toolkit.serving.release import Limits, Release
from toolkit.supervisor.replica import ReplicaProcess, clean
from toolkit.supervisor.slot import Slot


def replica_count(limits: Limits, wanted: int | None) -> int:
    """How many replicas there are to be: what is wanted, what the release says, or as many as the cores bear."""
    return wanted or limits.replicas or max(1, cpu.cores() // limits.threads)


class Fleet:
    """Replicas 0 to `count` - 1, each in a slot; for one event loop."""

    def __init__(self, directory: Path, plan: Release, count: int, pool: Pool) -> None:
        self._limits = plan.limits
        self._slots = [self._slot(index, directory, plan, pool) for index in range(count)]
        self._running: list[asyncio.Future[None]] = []
        pool.suspected = self._suspect

    def _slot(self, index: int, directory: Path, plan: Release, pool: Pool) -> Slot:
        def make(generation: int) -> ReplicaProcess:
            return ReplicaProcess(index, generation, directory, plan)

        return Slot(index, make, pool, plan.limits)

    async def start(self) -> None:
        """Start all of them, side by side; from the first one on there is somebody to answer.

        Raises:
            ServiceError: one could not be started.
        """
        starts = [asyncio.ensure_future(slot.start()) for slot in self._slots]
        try:
            await asyncio.gather(*starts)
        except BaseException:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
            raise
        self._running = [asyncio.ensure_future(slot.run()) for slot in self._slots]

    async def ended(self) -> None:
        """Returns when watching has ended, which it does not by itself: raises what went wrong."""
        done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def stop(self, grace: float) -> None:
        """End all of them."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await asyncio.gather(*(slot.stop(grace) for slot in self._slots))
        # Also of those that were being replaced at that moment.
        clean(Path())

    @property
    def ready(self) -> bool:
        """Whether a replica is ready and answered a golden inference rightly of late."""
        lately = self._limits.golden_interval_seconds + self._limits.deadline_seconds
        return any(slot.answered_within(lately) for slot in self._slots)

    def statuses(self) -> Sequence[ReplicaStatus]:
        """Of each replica."""
        return [slot.status for slot in self._slots]

    @property
    def summary(self) -> str:
        """In a few words: `2 of 3 replicas are ready`."""
        ready = sum(item.state == status.READY for item in self.statuses())
        return f"{ready} of {len(self._slots)} replicas are ready"

    def _suspect(self, endpoint: Endpoint) -> None:
        for slot in self._slots:
            if slot.holds(endpoint):
                slot.suspect()
