"""The service process: the front door and the replicas behind it, until SIGTERM.

    python -m toolkit.supervisor.service STATE_DIR TARGET [provisional]

TARGET is a JSON object, see `deployed.Target`. Runs in its run directory. Its record (`state.py`) says when it is
ready, or why it failed; what is deployed (`deployed.py`) it records when it is ready, or, if it is provisional, when a
command confirms that it answers as it should (`channel.py`).
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
from toolkit.gateway.server import Gateway
from toolkit.serving import release
from toolkit.supervisor import front
from toolkit.supervisor.channel import Channel
from toolkit.supervisor.deployed import Target
from toolkit.supervisor.deployment import gateway_options
from toolkit.supervisor.notify import Notifier
from toolkit.supervisor.replica import OUTPUT
from toolkit.supervisor.rollouts import Rollouts
from toolkit.supervisor.state import FAILED, READY, SERVICE_LOG, STOPPING, State, birth_of, running

logger = logging.getLogger(__name__)

ACCESS_LOG = "access.log"

_RECORD_SECONDS = 0.5


def main(state_dir: str, target: str, provisional: str = "") -> int:
    """Serve until told to stop; the exit code is 0 after a stop that was asked for."""
    logging.basicConfig(level=logging.INFO, format=logs.FORMAT)
    # It warns of every stranger that does not speak HTTP; they are told so themselves.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    first = Target.from_json(json.loads(target))
    plan = release.read(first.directory)
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
        release=first.release,
        variant=first.variant,
        run_dir=str(Path.cwd()),
        settings=first.settings,
    )
    state.write(Path(state_dir))
    try:
        with ExitStack() as stack:
            _log_access(stack)
            uvloop.run(Service(Path(state_dir), state, plan.limits).run(bool(provisional)))
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
    """The front door, the releases behind it, and the record of both."""

    def __init__(self, state_dir: Path, state: State, limits: release.Limits) -> None:
        self._state_dir = state_dir
        self._state = state
        # Now, since code that is edited later is not what runs.
        self._front = front.of(state.settings, limits)
        self._notifier = Notifier()
        self._gateway = Gateway(
            gateway_options(state.settings, limits), statuses=lambda: self._rollouts.statuses()
        )

    async def run(self, provisional: bool) -> None:
        """Serve until SIGTERM or SIGINT.

        Args:
            provisional: what is deployed is recorded when a command confirms it, not at once.

        Raises:
            ToolkitError: it could not be started.
        """
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        self._rollouts = Rollouts(self._state_dir, self._gateway, self._state.target)
        # The ports first: a taken one is known at once, and nothing has been started in vain.
        await self._gateway.start()
        channel = Channel(self._rollouts, self._front, lambda: self._record(READY))
        telling: list[asyncio.Future[None]] = []
        try:
            if await _unless(stopping, self._rollouts.start()):
                await channel.start()
                if not provisional:
                    await self._rollouts.confirm()
                self._tell_ready()
                self._rollouts.settle()
                telling = [
                    asyncio.ensure_future(item) for item in (self._keep_record(), self._keep_notifying())
                ]
                await _unless(stopping, self._rollouts.ended())
        finally:
            await self._stop(telling, channel)

    async def _stop(self, telling: list[asyncio.Future[None]], channel: Channel) -> None:
        self._notifier.stopping()
        for task in telling:
            task.cancel()
        self._record(STOPPING)
        current = self._rollouts.current
        grace = current.plan.limits.grace_seconds
        # Side by side: a rollout that is undone waits for requests, which end with the connections.
        await asyncio.gather(channel.stop(), self._gateway.stop(grace if current.fleet.ready else 0))
        await self._rollouts.stop(grace)
        logger.info("stopped")

    def _tell_ready(self) -> None:
        self._record(READY)
        self._notifier.ready(self._rollouts.summary)
        logger.info("ready: %s, gRPC on %s", self._state.http_url, self._state.grpc_target)

    def _record(self, status: str) -> None:
        current = self._rollouts.current
        self._state = replace(
            self._state,
            status=status,
            release=current.target.release,
            variant=current.target.variant,
            settings=replace(
                current.target.settings,
                http_port=self._gateway.http_port,
                grpc_port=self._gateway.grpc_port,
            ),
            grace_seconds=current.plan.limits.grace_seconds,
            replicas=[asdict(item) for item in self._rollouts.statuses()],
            note=self._rollouts.note,
        )
        try:
            self._state.write(self._state_dir)
        except OSError as error:
            # A full disk is no reason to stop answering.
            logger.error("the record of the service cannot be written: %s", error)

    async def _keep_record(self) -> None:
        """Write the record anew whenever it has changed, and keep what native libraries print within bounds."""
        before: object = None
        while True:
            replicas = [(item.state, item.pid, item.restarts) for item in self._rollouts.statuses()]
            now = replicas, self._rollouts.note
            if now != before:
                self._record(READY)
                before = now
            for path in (Path(SERVICE_LOG), *Path().glob(f"replica-*/{OUTPUT}")):
                logs.trim(path)
            await asyncio.sleep(_RECORD_SECONDS)

    async def _keep_notifying(self) -> None:
        """Tell systemd that this event loop turns; of the replicas, this process takes care itself."""
        while self._notifier.watchdog_seconds is not None:
            self._notifier.alive(self._rollouts.summary)
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


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
