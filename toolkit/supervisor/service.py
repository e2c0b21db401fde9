"""The service process: the front door and the replicas behind it, until SIGTERM.

    python -m toolkit.supervisor.service STATE_DIR RELEASE_DIR SETTINGS

SETTINGS is a JSON object, see `settings.py`. Runs in its run directory. Its record (`state.py`) says when it is ready,
or why it failed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Awaitable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import uvloop

from toolkit import logs
from toolkit.errors import ServiceError, ToolkitError
from toolkit.gateway import access
from toolkit.gateway.options import GatewayOptions
from toolkit.gateway.pool import Pool
from toolkit.gateway.server import Gateway
from toolkit.serving import release
from toolkit.supervisor import catalog
from toolkit.supervisor.fleet import Fleet, replica_count
from toolkit.supervisor.notify import Notifier
from toolkit.supervisor.replica import OUTPUT
from toolkit.supervisor.settings import Settings
from toolkit.supervisor.state import FAILED, READY, STOPPING, State, birth_of, running

logger = logging.getLogger(__name__)

SERVICE_LOG, ACCESS_LOG = "service.log", "access.log"

_RECORD_SECONDS = 0.5


def main(state_dir: str, release_dir: str, settings: str) -> int:
    """Serve until told to stop; the exit code is 0 after a stop that was asked for."""
    logging.basicConfig(level=logging.INFO, format=logs.FORMAT)
    # It warns of every stranger that does not speak HTTP; they are told so themselves.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    plan = release.read(Path(release_dir))
    me = psutil.Process()
    other = running(Path(state_dir))
    if other is not None and other.pid != me.pid:
        # Of two that are started at once, the record must stay that of the one which serves.
        error = ServiceError(f"{other.name} is running already: process {other.pid}, {other.http_url}")
        logger.error("%s", error)
        return error.exit_code
    state = State(
        pid=me.pid,
        created=me.create_time(),
        birth=birth_of(me.pid) or "",
        grace_seconds=plan.limits.grace_seconds,
        name=plan.name,
        release=release_dir,
        run_dir=str(Path.cwd()),
        settings=Settings(**json.loads(settings)),
    )
    state.write(Path(state_dir))
    try:
        with ExitStack() as stack:
            _log_access(stack)
            uvloop.run(Service(Path(state_dir), state, plan).run())
    except ToolkitError as error:
        logger.error("%s", error)
        replace(state, status=FAILED, message=str(error)).write(Path(state_dir))
        return error.exit_code
    return 0


def _log_access(stack: ExitStack) -> None:
    lines = logging.getLogger(access.LOGGER)
    lines.propagate = False
    stack.callback(logs.in_background(lines, logs.rotating(Path(ACCESS_LOG), format="%(message)s")).stop)


class Service:
    """The front door, the replicas, and the record of both."""

    def __init__(self, state_dir: Path, state: State, plan: release.Release) -> None:
        self._state_dir = state_dir
        self._state = state
        self._grace = plan.limits.grace_seconds
        self._notifier = Notifier()
        directory = Path(state.release)
        count = replica_count(plan.limits, state.settings.replicas)
        pool = Pool(plan.limits.workers)
        self._fleet = Fleet(directory, plan, count, pool)
        self._gateway = Gateway(
            _gateway_options(state.settings, plan.limits),
            catalog.of(directory, plan),
            pool,
            count * plan.limits.workers,
            is_ready=lambda: self._fleet.ready,
            statuses=self._fleet.statuses,
        )

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            ToolkitError: it could not be started.
        """
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        # The ports first: a taken one is known at once, and nothing has been started in vain.
        await self._gateway.start()
        telling: list[asyncio.Future[None]] = []
        try:
            if await _unless(stopping, self._fleet.start()):
                self._tell_ready()
                telling = [
                    asyncio.ensure_future(item) for item in (self._keep_record(), self._keep_notifying())
                ]
                await _unless(stopping, self._fleet.ended())
        finally:
            await self._stop(telling)

    async def _stop(self, telling: list[asyncio.Future[None]]) -> None:
        self._notifier.stopping()
        for task in telling:
            task.cancel()
        self._record(STOPPING)
        await self._gateway.stop(self._grace if self._fleet.ready else 0)
        await self._fleet.stop(self._grace)
        logger.info("stopped")

    def _tell_ready(self) -> None:
        ports = replace(
            self._state.settings, http_port=self._gateway.http_port, grpc_port=self._gateway.grpc_port
        )
        self._state = replace(self._state, settings=ports)
        self._record(READY)
        self._notifier.ready(self._fleet.summary)
        logger.info("ready: %s, gRPC on %s", self._state.http_url, self._state.grpc_target)

    def _record(self, status: str) -> None:
        statuses = [asdict(item) for item in self._fleet.statuses()]
        self._state = replace(self._state, status=status, replicas=statuses)
        try:
            self._state.write(self._state_dir)
        except OSError as error:
            # A full disk is no reason to stop answering.
            logger.error("the record of the service cannot be written: %s", error)

    async def _keep_record(self) -> None:
        """Write the record anew whenever a replica has changed, and keep what native libraries print within bounds."""
        before = None
        while True:
            now = [(item.state, item.pid, item.restarts) for item in self._fleet.statuses()]
            if now != before:
                self._record(READY)
                before = now
            for path in (Path(SERVICE_LOG), *Path().glob(f"replica-*/{OUTPUT}")):
                logs.trim(path)
            await asyncio.sleep(_RECORD_SECONDS)

    async def _keep_notifying(self) -> None:
        """Tell systemd that this event loop turns; of the replicas, this process takes care itself."""
        while self._notifier.watchdog_seconds is not None:
            self._notifier.alive(self._fleet.summary)
            await asyncio.sleep(self._notifier.watchdog_seconds)


async def _unless(stopping: asyncio.Event, work: Awaitable[None]) -> bool:
    """Whether `work` came to its end before a stop was asked for; raises what it raises."""
    task, asked = asyncio.ensure_future(work), asyncio.ensure_future(stopping.wait())
    await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if task.done():
        task.result()
        return True
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return False


def _gateway_options(settings: Settings, limits: release.Limits) -> GatewayOptions:
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


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
