"""All replicas of a release, and whether they can answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Optional

from toolkit import cpu
from toolkit.errors import ServiceError
from toolkit.gateway import status
from toolkit.gateway.endpoint import Endpoint
from toolkit.gateway.pool import Pool
from toolkit.gateway.status import ReplicaStatus
from toolkit.serving.release import Limits, Release
from toolkit.supervisor.replica import ReplicaProcess, clean, folder_of
from toolkit.supervisor.slot import Slot
from toolkit.supervisor.together import all_or_none

logger = logging.getLogger(__name__)


def replica_count(limits: Limits, wanted: int | None) -> int:
    """How many replicas there are to be: what is wanted, what the release says, or as many as the cores bear."""
    return wanted or limits.replicas or max(1, cpu.cores() // limits.threads)


class Fleet:
    """Replicas, each in a slot; for one event loop.

    Args:
        places: the numbers of the slots, which no other fleet has.
        failed: called with what went wrong if watching a replica ends, which it does not by itself.

    Attributes:
        role: the state that is told of replicas which are ready: `ready`, `standby` or `draining`.
    """

    def __init__(
        self,
        directory: Path,
        plan: Release,
        places: Sequence[int],
        pool: Pool,
        failed: Callable[[BaseException], None],
    ) -> None:
        self.role = status.READY
        self._limits = plan.limits
        dealt = cpu.parcels(len(places), plan.limits.threads) if plan.limits.pin else None
        self._slots = [
            self._slot(place, directory, plan, pool, dealt[number] if dealt else None)
            for number, place in enumerate(places)
        ]
        self._begun: list[Slot] = []
        self._watching: dict[Slot, asyncio.Future[None]] = {}
        self._failed = failed
        pool.suspected = self._suspect

    def _slot(
        self, index: int, directory: Path, plan: Release, pool: Pool, processors: Optional[frozenset[int]]
    ) -> Slot:
        def make(generation: int) -> ReplicaProcess:
            return ReplicaProcess(index, generation, directory, plan, processors)

        return Slot(index, make, pool, plan.limits)

    async def start(self, at_once: int | None = None) -> None:
        """Start all of them; from the first one on there is somebody to answer.

        Args:
            at_once: so many at a time; None: side by side.

        Raises:
            ServiceError: one could not be started.
        """
        gate = asyncio.Semaphore(at_once or len(self._slots))
        await all_or_none(self._begin(slot, gate) for slot in self._slots)

    async def _begin(self, slot: Slot, gate: asyncio.Semaphore) -> None:
        async with gate:
            self._begun.append(slot)
            try:
                await slot.start()
            except BaseException:
                await slot.stop(grace=0)
                raise
            self._watch(slot)

    def _watch(self, slot: Slot) -> None:
        task = self._watching[slot] = asyncio.ensure_future(slot.run())
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[None]) -> None:
        problem = None if task.cancelled() else task.exception()
        if problem is not None:
            self._failed(problem)

    async def grow(self, count: int | None = None) -> None:
        """Start those that are missing of the first `count`, one after the other; one that fails is tried again.

        Args:
            count: None: all.
        """
        for slot in self._slots[:count]:
            if slot in self._watching:
                continue
            if slot not in self._begun:
                self._begun.append(slot)
            try:
                await slot.start()
            except (ServiceError, OSError) as error:
                logger.error("%s", error)
            except BaseException:
                await slot.stop(grace=0)
                raise
            self._watch(slot)

    async def shrink(self, count: int, grace: float) -> None:
        """End all but the first `count`."""
        await self._end(self._slots[count:], grace)

    async def stop(self, grace: float) -> None:
        """End all of them."""
        await self._end(self._slots, grace)

    async def _end(self, slots: Sequence[Slot], grace: float) -> None:
        tasks = [self._watching.pop(slot) for slot in slots if slot in self._watching]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(slot.stop(grace) for slot in slots))
        self._begun = [slot for slot in self._begun if slot not in slots]
        for slot in slots:
            # Also of those that were being replaced at that moment.
            clean(folder_of(slot.index))

    @property
    def ready(self) -> bool:
        """Whether a replica is ready and answered a golden inference rightly of late."""
        lately = self._limits.golden_interval_seconds + self._limits.deadline_seconds
        return any(slot.answered_within(lately) for slot in self._slots)

    @property
    def places(self) -> Sequence[int]:
        """The numbers of the slots."""
        return [slot.index for slot in self._slots]

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """The ways to the replicas that are there."""
        return [slot.endpoint for slot in self._slots if slot.endpoint is not None]

    def statuses(self) -> Sequence[ReplicaStatus]:
        """Of each replica that is to be there."""
        found = [slot.status for slot in self._begun]
        return [replace(item, state=self.role) if item.state == status.READY else item for item in found]

    def _suspect(self, endpoint: Endpoint) -> None:
        for slot in self._slots:
            if slot.holds(endpoint):
                slot.suspect()
