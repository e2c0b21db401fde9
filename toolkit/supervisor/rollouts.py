"""Putting one release in the place of another behind open ports: start it beside, try it, shift, and drain the old one.

    shift ---> confirm     it serves and is recorded; what served before is drained and ended
         '---> revert      what served before serves again: its replicas were kept warm

A canary is a shift with a trial before it: see `canary.py`.

Until the shift nothing is done to what serves, so a failure before it costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.errors import CanaryError, ServiceError, ToolkitError
from toolkit.gateway import status
from toolkit.gateway.catalog import Catalog
from toolkit.gateway.office import Office
from toolkit.gateway.status import ReplicaStatus
from toolkit.serving.release import Release
from toolkit.supervisor import deployed, deployment, journal, pairs
from toolkit.supervisor.canary import Analysis, Canary
from toolkit.supervisor.deployed import FP32, RELEASE, Target
from toolkit.supervisor.deployment import Deployment
from toolkit.supervisor.fleet import replica_count
from toolkit.supervisor.journal import Entry
from toolkit.supervisor.watch import Watch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shift:
    """A release that requests go to now, not confirmed yet.

    Attributes:
        seconds: from the request for it to the shift.
        warm: whether a replica of it stood by.
    """

    seconds: float
    warm: bool


class Rollouts:
    """The releases of a running service; for one event loop, made within it.

    Args:
        home: where what is deployed is recorded.
        plan, offered: what `deployment.read` gave for `first`.
        others: the numbers of replicas of other pipelines.
        failed: called with what went wrong if watching a replica ends, which it does not by itself.

    Attributes:
        current: what new requests go to.
    """

    def __init__(
        self,
        home: Path,
        office: Office,
        first: Target,
        plan: Release,
        offered: Catalog,
        others: Callable[[], set[int]],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._home = home
        self._office = office
        self._others, self._failed = others, failed
        self._all: list[Deployment] = []
        self._former: Deployment | None = None
        self._standby: Deployment | None = None
        self._tidying: asyncio.Future[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._canary: Canary | None = None
        self._watch: Watch | None = None
        self._going_back: asyncio.Future[None] | None = None
        self._is_over = False
        self.current = self._make(first, plan, offered)

    # ------------------------------------------------------------------------------------- the first release

    def open(self) -> None:
        """Have requests come to the first release; it refuses them while no replica of it is ready."""
        self._office.shift(self.current.desk)

    async def start(self, at_once: int | None = None) -> None:
        """Start the replicas of the first release.

        Args:
            at_once: see `Fleet.start`.

        Raises:
            ServiceError: one could not be started.
        """
        await self.current.fleet.start(at_once)

    def settle(self) -> None:
        """See to what is to be there beside the replicas that serve."""
        if not self._is_over and (self._tidying is None or self._tidying.done()):
            self._tidying = asyncio.ensure_future(self._tidy())

    async def drain(self) -> None:
        """Wait until the requests to all releases are answered, those to one that is just taken back among them."""
        await asyncio.gather(*(item.drain() for item in list(self._all)))

    async def stop(self, grace: float) -> None:
        """End the replicas of all releases; what is taken back meanwhile starts none any more."""
        self._is_over = True
        self._unwatch()
        if self._going_back is not None:
            self._going_back.cancel()
            await asyncio.gather(self._going_back, return_exceptions=True)
        await self._pause_tidying()
        # Who takes a release back ends its replicas, too.
        async with self._one_at_a_time:
            await asyncio.gather(*(item.stop(grace) for item in list(self._all)))

    # ------------------------------------------------------------------------------------- one after another

    async def shift(self, target: Target) -> Shift:
        """Send new requests to `target`, once its replicas have answered as they should.

        Raises:
            ToolkitError: it failed; what serves was not touched.
        """
        return await self._shift(target, None)

    async def canary(self, target: Target, percent: float, tell: Callable[[Analysis], None]) -> Shift:
        """As `shift`, once `target` has done as well as what serves with a rising share of the requests.

        Args:
            percent: of the requests, at first.
            tell: called with each analysis.

        Raises:
            CanaryError: it did not.
            ToolkitError: as `shift`.
        """

        async def trial(new: Deployment) -> None:
            self._canary = Canary(self._office, self.current, new, tell)
            try:
                await self._canary.run(percent)
            finally:
                self._canary = None

        return await self._shift(target, trial)

    async def _shift(self, target: Target, trial: Callable[[Deployment], Awaitable[None]] | None) -> Shift:
        began = time.monotonic()
        async with self._one_at_a_time:
            if self._former is not None:
                raise ServiceError("another rollout is under way", remedy="wait for it, or end it")
            self._unwatch()
            try:
                warm = await self._take_standby(target)
                new = warm or await self._bring_up(target)
                # What was being tidied while this waited for it may have begun one.
                self._unwatch()
                if trial is not None:
                    await self._try(new, trial)
            except BaseException as error:
                logger.error("%s does not take over: %s", target.label, error)
                result = "canary_failed" if isinstance(error, CanaryError) else "failed"
                self._office.metrics.rolled_out(result)
                self.settle()
                raise
            self._former = self._put_in_front(new)
        shift = Shift(time.monotonic() - began, warm is not None)
        logger.info("%s takes over after %.2f s", target.label, shift.seconds)
        return shift

    async def _try(self, new: Deployment, trial: Callable[[Deployment], Awaitable[None]]) -> None:
        """Put it to the trial; it is ended if it does not pass."""
        try:
            await trial(new)
        except BaseException:
            new.fleet.role = status.DRAINING
            await new.drain()
            await self._end(new, new.plan.limits.grace_seconds)
            raise

    async def confirm(self) -> None:
        """Keep what serves: record it, and end what served before, once that has answered all its requests.

        Raises:
            ServiceError: it cannot be recorded; what served before serves again.
        """
        try:
            await asyncio.to_thread(deployed.record, self._home, self.current.target)
        except OSError as error:
            await self.revert()
            raise ServiceError(
                f"what is deployed cannot be recorded: {error}", where=str(self._home)
            ) from error
        async with self._one_at_a_time:
            former, self._former = self._former, None
            if former is not None:
                self._office.metrics.rolled_out("success")
                await self._retire(former)
                await self._dismiss_standby()
            self.settle()

    async def revert(self) -> None:
        """Send new requests to what served before the last shift again; nothing to do if that was confirmed."""
        async with self._one_at_a_time:
            if self._former is None:
                return
            failed, self._former = self._put_in_front(self._former), None
            logger.error("%s is taken back, %s serves again", failed.target.label, self.current.target.label)
            self._office.metrics.rolled_out("reverted")
            await self._retire(failed)
            self.settle()

    def _put_in_front(self, new: Deployment) -> Deployment:
        """Have new requests go to it; the one that they went to."""
        old, self.current = self.current, new
        self._office.shift(new.desk)
        new.fleet.role, old.fleet.role = status.READY, status.DRAINING
        return old

    async def _bring_up(self, target: Target) -> Deployment:
        """Its replicas, started beside those that serve, and tried."""
        new = self._make(target, *await asyncio.to_thread(deployment.read, target))
        try:
            await new.fleet.start(new.plan.limits.starts)
            await new.try_out()
        except BaseException as error:
            await new.stop(grace=0)
            self._all.remove(new)
            if isinstance(error, (OSError, ValueError, KeyError)):
                raise deployment.unreadable(target, error) from error
            raise
        return new

    async def _retire(self, old: Deployment) -> None:
        """Let it answer what it has, then end it, or keep one replica if it is what has to stand by."""
        await old.drain()
        grace = old.plan.limits.grace_seconds
        if old.target == self._standby_target() and self._standby is None:
            await old.fleet.shrink(1, grace)
            old.fleet.role, self._standby = status.STANDBY, old
        else:
            await self._end(old, grace)

    async def _end(self, old: Deployment, grace: float) -> None:
        await old.stop(grace)
        self._all.remove(old)

    def _make(self, target: Target, plan: Release, offered: Catalog) -> Deployment:
        """The deployment of what `deployment.read` gave."""
        count = replica_count(plan.limits, target.settings.replicas)
        made = Deployment(target, plan, offered, self._office, self._free_places(count), self._failed)
        self._all.append(made)
        return made

    def _free_places(self, count: int) -> Sequence[int]:
        """The lowest numbers in a row that no replica has."""
        taken = self.places | self._others()
        first = 0
        while taken & set(range(first, first + count)):
            first += 1
        return range(first, first + count)

    @property
    def places(self) -> set[int]:
        """The numbers of all replicas."""
        return {place for item in self._all for place in item.fleet.places}

    # -------------------------------------------------------------------------------------- what stands by

    def _standby_target(self) -> Target | None:
        """The FP32 variant of the release that serves, if one is to stand by."""
        serving = self.current.target
        target = replace(serving, variant=FP32)
        wanted = serving.variant == RELEASE and self.current.plan.limits.standby == FP32
        return target if wanted and target.directory.is_dir() else None

    async def _take_standby(self, target: Target) -> Deployment | None:
        """What stands by, if it is what is asked for and can answer."""
        standby = self._standby
        if standby is None or standby.target != target:
            await self._pause_tidying()
            return None
        if not standby.fleet.ready and self._tidying is not None:
            # It is just starting: quicker than to begin anew.
            await asyncio.wait({self._tidying}, timeout=standby.plan.limits.start_seconds)
        await self._pause_tidying()
        if not standby.fleet.ready:
            return None
        self._standby = None
        return standby

    async def _pause_tidying(self) -> None:
        tidying, self._tidying = self._tidying, None
        if tidying is not None:
            tidying.cancel()
            # Not by awaiting it: a cancellation of the caller must stay one.
            await asyncio.wait({tidying})

    async def _tidy(self) -> None:
        """Fill all places of what serves, and have stand by what is to."""
        try:
            await self.current.fleet.grow()
            wanted = self._standby_target()
            if self._standby is None and wanted is not None:
                self._standby = self._make(wanted, *await asyncio.to_thread(deployment.read, wanted))
                self._standby.fleet.role = status.STANDBY
            if self._standby is not None:
                await self._standby.fleet.grow(1)
                self._start_watch(self._standby)
        except ToolkitError as error:
            logger.error("nothing stands by: %s", error)
        except Exception:
            logger.exception("nothing stands by")

    async def _dismiss_standby(self) -> None:
        """End what stands by, unless it is of the release that serves."""
        standby = self._standby
        if standby is not None and standby.target != self._standby_target():
            self._standby = None
            await self._end(standby, standby.plan.limits.grace_seconds)

    # ------------------------------------------------------------------------------------------------- watch

    def _start_watch(self, standby: Deployment) -> None:
        """Watch what serves, if it is to be and can be."""
        serving = self.current
        comparable = pairs.rule_of(serving.plan, standby.plan) is not None
        if self._watch is None and serving.plan.watch.sample and comparable:
            self._watch = Watch(self._office, serving, standby, self._breached)

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def _breached(self, found: str) -> None:
        if self.current.plan.watch.rollback:
            self._going_back = asyncio.ensure_future(self._go_back(found))

    async def _go_back(self, why: str) -> None:
        """Go to the FP32 models of what serves, and enter that in the journal."""
        before, after = self.current.target, replace(self.current.target, variant=FP32)
        entry = Entry(journal.now(), journal.me(), "watch", before.label, after.label, reason=why)
        try:
            await self.shift(after)
            await self.confirm()
        except ToolkitError as error:
            logger.error("the watch cannot go to FP32: %s", error)
            entry = replace(entry, result=journal.FAILED, reason=f"{why}; {error.message}")
        except asyncio.CancelledError:
            journal.append(self._home, replace(entry, result=journal.INTERRUPTED))
            raise
        await asyncio.to_thread(journal.append, self._home, entry)

    # --------------------------------------------------------------------------------------------- telling

    def statuses(self) -> Sequence[ReplicaStatus]:
        """Of all replicas of all releases."""
        found = [item for each in self._all for item in each.fleet.statuses()]
        return sorted(found, key=lambda item: item.index)

    @property
    def summary(self) -> str:
        """In a few words: `2 of 3 replicas are ready`."""
        found = self.current.fleet.statuses()
        ready = f"{sum(item.state == status.READY for item in found)} of {len(found)} replicas are ready"
        return f"{ready}, {self.note}" if self.note else ready

    @property
    def note(self) -> str:
        """What else an operator should know, in a few words; empty: nothing."""
        canary, watch = self._canary, self._watch
        if canary is not None:
            return f"canary: {canary.label} has {canary.percent:g} % of the requests"
        return f"watch: {watch.breach}" if watch is not None and watch.breach else ""
