"""The pipelines of a running service: started with it, or joining and leaving while the others serve on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from pathlib import Path

from toolkit.errors import ServiceError
from toolkit.gateway.catalog import Catalog
from toolkit.gateway.server import Gateway
from toolkit.serving.release import Release
from toolkit.supervisor import deployment
from toolkit.supervisor.deployed import Target
from toolkit.supervisor.member import Member
from toolkit.supervisor.rollouts import Shift

logger = logging.getLogger(__name__)


class Members:
    """For one event loop, made within it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._by_home: dict[Path, Member] = {}
        self._joining: dict[Path, asyncio.Future[None]] = {}
        self._leaving: dict[Path, asyncio.Future[None]] = {}
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._by_home.values()))

    def __len__(self) -> int:
        return len(self._by_home)

    def of(self, home: Path) -> Member | None:
        """The one whose folder that is."""
        return self._by_home.get(home)

    def add(self, home: Path, target: Target, plan: Release, offered: Catalog) -> Member:
        """One more; it is not started.

        Raises:
            ServiceError: another has that name.
        """
        if any(member.name == plan.name for member in self):
            raise ServiceError(f"{plan.name} is served here already, from another folder", where=str(home))
        member = Member(
            home, self._gateway, target, plan, offered, lambda: self._places_beside(home), self._fail
        )
        self._by_home[home] = member
        return member

    async def join(self, home: Path, target: Target) -> Shift:
        """Serve one more pipeline.

        Raises:
            ToolkitError: it does not answer as it should; the others were not touched.
        """
        began = time.monotonic()
        member = self.add(home, target, *await asyncio.to_thread(deployment.read, target))
        self._joining[home] = asyncio.ensure_future(member.join())
        try:
            await self._joining[home]
        except BaseException as error:
            logger.error("%s does not join: %s", target.label, error)
            await self.leave(member)
            raise
        finally:
            del self._joining[home]
        shift = Shift(time.monotonic() - began, warm=False)
        logger.info("%s joins after %.2f s", target.label, shift.seconds)
        return shift

    async def leave(self, member: Member) -> None:
        """Serve one pipeline less; one that leaves already is waited for. After the last, `over` returns."""
        if member.home not in self._leaving:
            self._leaving[member.home] = asyncio.ensure_future(self._leave(member))
        await self._leaving[member.home]

    async def _leave(self, member: Member) -> None:
        joining = self._joining.get(member.home)
        try:
            if joining is not None:
                # By a command that was killed, which is not noticed at once.
                joining.cancel()
                await asyncio.wait({joining})
            await member.leave()
        finally:
            del self._leaving[member.home]
        del self._by_home[member.home]
        if not self._by_home and not self._over.done():
            self._over.set_result(None)

    async def staying(self, home: Path) -> Member | None:
        """The one whose folder that is; None: there is none, or it was just leaving, and has left now."""
        member = self.of(home)
        if member is not None and home in self._leaving:
            await self.leave(member)
            return None
        return member

    async def over(self) -> None:
        """Returns when all have left; raises what went wrong if watching replicas ends, which it does not by itself."""
        await self._over

    def record(self) -> None:
        """Write the record of each."""
        for member in self:
            member.record()

    @property
    def summary(self) -> str:
        """In a few words: `2 of 3 replicas are ready`."""
        told = {member.name: member.rollouts.summary for member in self}
        if len(told) == 1:
            return next(iter(told.values()))
        return "; ".join(f"{name}: {summary}" for name, summary in told.items())

    def _places_beside(self, home: Path) -> set[int]:
        others = (member for other, member in self._by_home.items() if other != home)
        return {place for member in others for place in member.rollouts.places}

    def _fail(self, problem: BaseException) -> None:
        if not self._over.done():
            self._over.set_exception(problem)
