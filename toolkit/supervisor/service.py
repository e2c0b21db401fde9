"""The service process: the front door and the replica behind it, until SIGTERM.

    python -m toolkit.supervisor.service STATE_DIR RELEASE_DIR HOST HTTP_PORT GRPC_PORT

Runs in its run directory. Its record (`state.py`) says when it is ready, or why it failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from dataclasses import replace
from pathlib import Path

import psutil

from toolkit.errors import ToolkitError
from toolkit.gateway.options import GatewayOptions
from toolkit.gateway.server import Gateway
from toolkit.serving import release
from toolkit.supervisor.replica import SOCKET, ReplicaProcess
from toolkit.supervisor.state import FAILED, READY, State, birth_of

logger = logging.getLogger(__name__)


def main(state_dir: str, release_dir: str, host: str, http_port: str, grpc_port: str) -> int:
    """Serve until told to stop; the exit code is 0 after a stop that was asked for."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    plan = release.read(Path(release_dir))
    me = psutil.Process()
    state = State(
        pid=me.pid,
        created=me.create_time(),
        birth=birth_of(me.pid) or "",
        grace_seconds=plan.limits.grace_seconds,
        name=plan.name,
        release=release_dir,
        run_dir=str(Path.cwd()),
        host=host,
        http_port=int(http_port),
        grpc_port=int(grpc_port),
    )
    state.write(Path(state_dir))
    try:
        asyncio.run(_serve(Path(state_dir), state, plan))
    except ToolkitError as error:
        logger.error("%s", error)
        replace(state, status=FAILED, message=str(error)).write(Path(state_dir))
        return error.exit_code
    return 0


async def _serve(state_dir: Path, state: State, plan: release.Release) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    replica = ReplicaProcess(Path(state.release), plan)
    gateway = Gateway(_gateway_options(state, plan), is_ready=lambda: replica.ready)
    # The ports first: a taken one is known at once, and nothing has been started in vain.
    await gateway.start()
    try:
        if await _started(replica, stopping):
            replace(state, status=READY, http_port=gateway.http_port, grpc_port=gateway.grpc_port).write(
                state_dir
            )
            logger.info("ready: HTTP on %s:%d, gRPC on %d", state.host, gateway.http_port, gateway.grpc_port)
            await _watch_until(stopping, replica)
    finally:
        await gateway.stop(plan.limits.grace_seconds if replica.ready else 0)
        replica.stop(plan.limits.grace_seconds)
        logger.info("stopped")


async def _started(replica: ReplicaProcess, stopping: asyncio.Event) -> bool:
    """Whether the replica came up before a stop was asked for."""
    starting, asked = asyncio.ensure_future(replica.start()), asyncio.ensure_future(stopping.wait())
    await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if starting.done():
        starting.result()
        return True
    starting.cancel()
    return False


async def _watch_until(stopping: asyncio.Event, replica: ReplicaProcess) -> None:
    """Until a stop is asked for; a watch that ends by itself is a failure, and ends the service."""
    watching, asked = asyncio.ensure_future(replica.watch()), asyncio.ensure_future(stopping.wait())
    done, _ = await asyncio.wait({watching, asked}, return_when=asyncio.FIRST_COMPLETED)
    if watching in done:
        watching.result()
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching


def _gateway_options(state: State, plan: release.Release) -> GatewayOptions:
    return GatewayOptions(
        model=plan.name,
        host=state.host,
        http_port=state.http_port,
        grpc_port=state.grpc_port,
        replica=SOCKET,
        max_body_bytes=plan.limits.max_body_bytes,
        deadline=plan.limits.deadline_seconds,
        max_in_flight=plan.limits.max_in_flight,
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
