"""One pipeline of a running service: its releases, and the record of it in its folder of the build directory."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import psutil

from toolkit.gateway.catalog import Catalog
from toolkit.gateway.server import Gateway
from toolkit.serving.release import Release
from toolkit.supervisor.deployed import Target
from toolkit.supervisor.rollouts import Rollouts
from toolkit.supervisor.state import READY, STOPPED, STOPPING, State, birth_of

logger = logging.getLogger(__name__)


def starting(target: Target, plan: Release) -> State:
    """The record of a pipeline that this process, in its run directory, is about to serve."""
    me = psutil.Process()
    return State(
        pid=me.pid,
        created=me.create_time(),
        birth=birth_of(me.pid) or "",
        grace_seconds=plan.limits.grace_seconds,
        deadline_seconds=plan.limits.deadline_seconds,
        name=plan.name,
        release=target.release,
        variant=target.variant,
        run_dir=str(Path.cwd()),
        settings=target.settings,
    )


class Member:
    """For one event loop.

    Args:
        home: the pipeline's folder in the build directory.
        plan, offered: what `deployment.read` gave for `target`.
        others, failed: see `Rollouts`.

    Attributes:
        name: of the pipeline.
        is_new: whether no command has confirmed yet that it serves.
    """

    def __init__(
        self,
        home: Path,
        gateway: Gateway,
        target: Target,
        plan: Release,
        offered: Catalog,
        others: Callable[[], set[int]],
        failed: Callable[[BaseException], None],
    ) -> None:
        self.home = home
        self.name = plan.name
        self.is_new = True
        self._gateway = gateway
        self._state = starting(target, plan)
        office = gateway.enter(plan.name, lambda: self.rollouts.statuses())
        self.rollouts = Rollouts(home, office, target, plan, offered, others, failed)

    async def join(self) -> None:
        """Start its replicas beside those of other pipelines, and take requests once they answer as they should.

        Raises:
            ToolkitError: they do not.
        """
        await self.rollouts.start(self.rollouts.current.plan.limits.starts)
        await self.rollouts.current.try_out()
        self.rollouts.open()
        self.begin()

    def begin(self) -> None:
        """It serves."""
        self.record(READY)
        self.rollouts.settle()

    async def confirm(self) -> None:
        """Keep what serves.

        Raises:
            ServiceError: see `Rollouts.confirm`.
        """
        await self.rollouts.confirm()
        self.is_new = False

    async def leave(self) -> None:
        """Take no more requests, finish those that it has, and end its replicas; the others serve on."""
        self.record(STOPPING)
        self._gateway.leave(self.name)
        await self.rollouts.drain()
        await self.rollouts.stop(self.grace_seconds)
        self._gateway.forget(self.name)
        self.record(STOPPED)
        logger.info("%s is not served any more", self.name)

    @property
    def grace_seconds(self) -> float:
        """How long its replicas may take to end."""
        return self.rollouts.current.plan.limits.grace_seconds

    @property
    def state(self) -> State:
        """Its record."""
        return self._state

    @property
    def looks(self) -> object:
        """What a record would be written anew for, if it differs."""
        replicas = [(item.state, item.pid, item.restarts) for item in self.rollouts.statuses()]
        return replicas, self.rollouts.note

    def record(self, status: str = "") -> None:
        """Write its record.

        Args:
            status: from now on; empty: as before.
        """
        current = self.rollouts.current
        self._state = replace(
            self._state,
            status=status or self._state.status,
            release=current.target.release,
            variant=current.target.variant,
            settings=replace(
                current.target.settings,
                http_port=self._gateway.http_port,
                grpc_port=self._gateway.grpc_port,
            ),
            grace_seconds=self.grace_seconds,
            deadline_seconds=current.plan.limits.deadline_seconds,
            replicas=[asdict(item) for item in self.rollouts.statuses()],
            note=self.rollouts.note,
        )
        try:
            self._state.write(self.home)
        except OSError as error:
            # A full disk is no reason to stop answering.
            logger.error("the record of the service cannot be written: %s", error)
