"""The service process: the front door and the replicas behind it, until SIGTERM.

    python -m toolkit.supervisor.service STARTS

STARTS is a JSON array of what it serves at first, see `deployed.Start`. Runs in its run directory. The record of each
pipeline (`state.py`) says when it is ready, or why it failed; what is deployed (`deployed.py`) it records when it is
ready, or, if it is provisional, when a command confirms that it answers as it should (`channel.py`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Awaitable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psutil
import uvloop

from toolkit import logs
from toolkit.errors import ServiceError, ToolkitError
from toolkit.gateway import access
from toolkit.gateway.server import Gateway
from toolkit.serving import release
from toolkit.supervisor import deployment, front
from toolkit.supervisor.channel import Channel
from toolkit.supervisor.deployed import Start
from toolkit.supervisor.member import starting
from toolkit.supervisor.members import Members
from toolkit.supervisor.notify import Notifier
from toolkit.supervisor.replica import OUTPUT
from toolkit.supervisor.state import FAILED, SERVICE_LOG, STOPPING, running
from toolkit.supervisor.together import all_or_none

logger = logging.getLogger(__name__)

ACCESS_LOG = "access.log"

_RECORD_SECONDS = 0.5


def main(starts: str) -> int:
    """Serve until told to stop; the exit code is 0 after a stop that was asked for."""
    logging.basicConfig(level=logging.INFO, format=logs.FORMAT)
    # It warns of every stranger that does not speak HTTP; they are told so themselves.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    wanted = [Start.from_json(item) for item in json.loads(starts)]
    for start in wanted:
        other = running(start.home)
        if other is not None and other.pid != psutil.Process().pid:
            # Of two that are started at once, the record must stay that of the one which serves.
            error = ServiceError(f"{other.name} is running already: process {other.pid}, {other.http_url}")
            logger.error("%s", error)
            return error.exit_code
    plans = [release.read(start.target.directory) for start in wanted]
    records = {start.home: starting(start.target, plan) for start, plan in zip(wanted, plans)}
    for home, record in records.items():
        record.write(home)
    try:
        with ExitStack() as stack:
            _log_access(stack)
            uvloop.run(Service(wanted, [plan.limits for plan in plans]).run())
    except ToolkitError as error:
        logger.error("%s", error)
        for home, record in records.items():
            replace(record, status=FAILED, message=str(error)).write(home)
        return error.exit_code
    return 0


def _log_access(stack: ExitStack) -> None:
    lines = logging.getLogger(access.LOGGER)
    lines.propagate = False
    stack.callback(logs.in_background(lines, logs.rotating(Path(ACCESS_LOG), format="%(message)s")).stop)


class Service:
    """The front door and the pipelines behind it.

    Args:
        starts: what it serves at first; all are for the same address.
        limits: of each of them.
    """

    def __init__(self, starts: Sequence[Start], limits: Sequence[release.Limits]) -> None:
        self._starts = starts
        settings, loosest = starts[0].target.settings, front.loosest(limits)
        # Now, since code that is edited later is not what runs.
        self._front = front.of(settings, loosest)
        self._notifier = Notifier()
        self._gateway = Gateway(deployment.gateway_options(settings, loosest))

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, or until the last pipeline has left.

        Raises:
            ToolkitError: it could not be started.
        """
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        self._members = Members(self._gateway)
        for start in self._starts:
            self._members.add(start.home, start.target, *deployment.read(start.target)).rollouts.open()
        # The ports first: a taken one is known at once, and nothing has been started in vain.
        await self._gateway.start()
        channel = Channel(self._members, self._front)
        telling: list[asyncio.Future[None]] = []
        try:
            if await _unless(stopping, all_or_none(member.rollouts.start() for member in self._members)):
                await channel.start()
                await self._begin()
                telling = [
                    asyncio.ensure_future(item) for item in (self._keep_record(), self._keep_notifying())
                ]
                await _unless(stopping, self._members.over())
        finally:
            await self._stop(telling, channel)

    async def _begin(self) -> None:
        for start in self._starts:
            member = self._members.of(start.home)
            assert member is not None
            if not start.provisional:
                await member.confirm()
            member.begin()
            logger.info("ready: %s, gRPC on %s", member.state.http_url, member.state.grpc_target)
        self._notifier.ready(self._members.summary)

    async def _stop(self, telling: list[asyncio.Future[None]], channel: Channel) -> None:
        self._notifier.stopping()
        for task in telling:
            task.cancel()
        for member in self._members:
            member.record(STOPPING)
        grace = max((member.grace_seconds for member in self._members), default=0.0)
        is_asked = any(member.rollouts.current.fleet.ready for member in self._members)
        # Side by side: a rollout that is undone waits for requests, which end with the connections.
        await asyncio.gather(channel.stop(), self._gateway.stop(grace if is_asked else 0))
        await asyncio.gather(*(member.rollouts.stop(grace) for member in self._members))
        logger.info("stopped")

    async def _keep_record(self) -> None:
        """Write the records anew whenever one has changed, and keep what native libraries print within bounds."""
        before: object = None
        while True:
            now = [member.looks for member in self._members]
            if now != before:
                self._members.record()
                before = now
            for path in (Path(SERVICE_LOG), *Path().glob(f"replica-*/{OUTPUT}")):
                logs.trim(path)
            await asyncio.sleep(_RECORD_SECONDS)

    async def _keep_notifying(self) -> None:
        """Tell systemd that this event loop turns; of the replicas, this process takes care itself."""
        while self._notifier.watchdog_seconds is not None:
            self._notifier.alive(self._members.summary)
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
