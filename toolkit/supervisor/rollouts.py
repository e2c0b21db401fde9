"""Putting one release in the place of another behind open ports: start it beside, try it, shift, and drain the old one.

    shift ---> confirm     it serves and is recorded; what served before is drained and ended
         '---> revert      what served before serves again: its replicas were kept warm

Until the shift nothing is done to what serves, so a failure before it costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.errors import ServiceError, ToolkitError
from toolkit.gateway import status
from toolkit.gateway.catalog import Catalog
from toolkit.gateway.server import Gateway
from toolkit.gateway.status import ReplicaStatus
from toolkit.serving.release import Release
from toolkit.supervisor import deployed, deployment
from toolkit.supervisor.deployed import FP32, RELEASE, Target
from toolkit.supervisor.deployment import Deployment
from toolkit.supervisor.fleet import replica_count

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

    Attributes:
        current: what new requests go to.
    """

    def __init__(self, home: Path, gateway: Gateway, first: Target) -> None:
        self._home = home
        self._gateway = gateway
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._all: list[Deployment] = []
        self._former: Deployment | None = None
        self._standby: Deployment | None = None
        self._tidying: asyncio.Future[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        self.current = self._make(first, *deployment.read(first))
        gateway.shift(self.current.desk)

    # ------------------------------------------------------------------------------------- the first release

    async def start(self) -> None:
        """Start the replicas of the first release.

        Raises:
            ServiceError: one could not be started.
        """
        await self.current.fleet.start()

    def settle(self) -> None:
        """See to what is to be there beside the replicas that serve."""
        if self._tidying is None or self._tidying.done():
            self._tidying = asyncio.ensure_future(self._tidy())

    async def ended(self) -> None:
        """Returns when watching has ended, which it does not by itself: raises what went wrong."""
        await self._broken

    async def stop(self, grace: float) -> None:
        """End the replicas of all releases."""
        await self._pause_tidying()
        await asyncio.gather(*(item.stop(grace) for item in list(self._all)))

    # ------------------------------------------------------------------------------------- one after another

    async def shift(self, target: Target) -> Shift:
        """Send new requests to `target`, once its replicas have answered as they should.

        Raises:
            ToolkitError: it failed; what serves was not touched.
        """
        began = time.monotonic()
        async with self._one_at_a_time:
            if self._former is not None:
                raise ServiceError("another rollout is under way", remedy="wait for it, or end it")
            try:
                warm = await self._take_standby(target)
                new = warm or await self._bring_up(target)
            except BaseException as error:
                logger.error("%s does not take over: %s", target.label, error)
                self._gateway.metrics.rolled_out("failed")
                self.settle()
                raise
            self._former = self._put_in_front(new)
        shift = Shift(time.monotonic() - began, warm is not None)
        logger.info("%s takes over after %.2f s", target.label, shift.seconds)
        return shift

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
                self._gateway.metrics.rolled_out("success")
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
            self._gateway.metrics.rolled_out("reverted")
            await self._retire(failed)
            self.settle()

    def _put_in_front(self, new: Deployment) -> Deployment:
        """Have new requests go to it; the one that they went to."""
        old, self.current = self.current, new
        self._gateway.shift(new.desk)
        new.fleet.role, old.fleet.role = status.READY, status.DRAINING
        return old

    async def _bring_up(self, target: Target) -> Deployment:
        """Its replicas, started beside those that serve, and tried."""
        try:
            new = self._make(target, *await asyncio.to_thread(deployment.read, target))
        except (OSError, ValueError, KeyError) as error:
            raise _unreadable(target, error) from error
        try:
            await new.fleet.start(new.plan.limits.starts)
            await new.try_out()
        except BaseException as error:
            await new.stop(grace=0)
            self._all.remove(new)
            if isinstance(error, (OSError, ValueError, KeyError)):
                raise _unreadable(target, error) from error
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
        made = Deployment(target, plan, offered, self._gateway, self._free_places(count), self._fail)
        self._all.append(made)
        return made

    def _free_places(self, count: int) -> Sequence[int]:
        """The lowest numbers in a row that no replica has."""
        taken = {place for item in self._all for place in item.fleet.places}
        first = 0
        while taken & set(range(first, first + count)):
            first += 1
        return range(first, first + count)

    def _fail(self, problem: BaseException) -> None:
        if not self._broken.done():
            self._broken.set_exception(problem)

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
        if self._tidying is not None:
            self._tidying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._tidying
            self._tidying = None

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

    # --------------------------------------------------------------------------------------------- telling

    def statuses(self) -> Sequence[ReplicaStatus]:
        """Of all replicas of all releases."""
        found = [item for each in self._all for item in each.fleet.statuses()]
        return sorted(found, key=lambda item: item.index)

    @property
    def summary(self) -> str:
        """In a few words: `2 of 3 replicas are ready`."""
        found = self.current.fleet.statuses()
        return f"{sum(item.state == status.READY for item in found)} of {len(found)} replicas are ready"


def _unreadable(target: Target, error: BaseException) -> ServiceError:
    return ServiceError(
        f"the release {target.label} cannot be read: {type(error).__name__}: {error}",
        where=str(target.directory),
        remedy="`make deploy` builds a release anew that was damaged",
    )
