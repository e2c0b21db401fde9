"""A release in a running service: its replicas, their pool, and the desk that requests come to."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from toolkit.errors import ServiceError
from toolkit.gateway.catalog import Catalog
from toolkit.gateway.office import Office
from toolkit.gateway.options import GatewayOptions
from toolkit.gateway.pool import Pool
from toolkit.serving import release
from toolkit.supervisor import catalog, trial
from toolkit.supervisor.deployed import Target
from toolkit.supervisor.fleet import Fleet
from toolkit.supervisor.settings import Settings

logger = logging.getLogger(__name__)

# Requests come to their end by their deadline; the rest is for writing answers.
_DRAIN_SLACK = 5.0


def read(target: Target) -> tuple[release.Release, Catalog]:
    """The release of a target, and what it offers.

    Raises:
        ServiceError, TemplateError, ModelError: it is not there, or cannot be read.
    """
    target.check()
    try:
        plan = release.read(target.directory)
        return plan, catalog.of(target, plan)
    except (OSError, ValueError, KeyError) as error:
        raise unreadable(target, error) from error


def unreadable(target: Target, error: BaseException) -> ServiceError:
    """What is told of a release that is damaged."""
    return ServiceError(
        f"the release {target.label} cannot be read: {type(error).__name__}: {error}",
        where=str(target.directory),
        remedy="`make deploy` builds a release anew that was damaged",
    )


def gateway_options(settings: Settings, limits: release.Limits) -> GatewayOptions:
    """What the front door allows, by settings and release."""
    return GatewayOptions(
        host=settings.host,
        http_port=settings.http_port,
        grpc_port=settings.grpc_port,
        max_body_bytes=limits.max_body_bytes,
        deadline=limits.deadline_seconds,
        queue=limits.queue,
        max_connections=limits.max_connections,
        header_seconds=limits.header_seconds,
        keys_file=Path(settings.keys_file) if settings.keys_file else None,
        tls=settings.tls,
    )


class Deployment:
    """Takes no request until the gateway shifts to its desk; for one event loop.

    Args:
        plan, offered: what `read` gave.
        places: numbers of its replicas, which no other deployment has.
        failed: see `Fleet`.
    """

    def __init__(
        self,
        target: Target,
        plan: release.Release,
        offered: Catalog,
        office: Office,
        places: Sequence[int],
        failed: Callable[[BaseException], None],
    ) -> None:
        self.target = target
        self.plan = plan
        self._office = office
        pool = Pool(plan.limits.workers)
        self.fleet = Fleet(target.directory, plan, places, pool, failed)
        self.desk = office.open(
            gateway_options(target.settings, plan.limits),
            offered,
            pool,
            len(places) * plan.limits.workers,
            is_ready=lambda: self.fleet.ready,
        )

    async def try_out(self) -> None:
        """Ask its replicas what no client has to.

        Raises:
            SmokeError: they answer other than they should.
        """
        await trial.check(self.target.directory, self.plan, self.fleet.endpoints)

    async def drain(self) -> None:
        """Wait until the requests that it has are answered; to be called after a shift to another deployment."""
        deadline = time.monotonic() + self.plan.limits.deadline_seconds + _DRAIN_SLACK
        while self.desk.in_flight and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        if self.desk.in_flight:
            logger.error("%d requests of %s did not end", self.desk.in_flight, self.target.label)

    async def stop(self, grace: float) -> None:
        """End its replicas."""
        await self.fleet.stop(grace)
        self._office.close(self.desk)
