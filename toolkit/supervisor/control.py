"""Starting the service in the background, finding it again, and stopping it with all that it started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Optional

from toolkit import child, ports, process
from toolkit.errors import ServiceError
from toolkit.serving import release
from toolkit.supervisor import state as states
from toolkit.supervisor.state import FAILED, READY, State

SERVICE_LOG = "service.log"
_KEPT_RUNS = 5


def launch(home: Path, release_dir: Path, host: str, http_port: int, grpc_port: int) -> State:
    """Start the service of a release and wait until it is ready.

    Args:
        home: the pipeline's folder in the build directory.

    Raises:
        ServiceError: one is running already, a port is taken, or it does not become ready.
    """
    current = states.running(home)
    if current is not None:
        raise ServiceError(
            f"{current.name} is running already: process {current.pid}, {current.http_url}",
            where=str(home),
            remedy="`make stop` ends it; `make deploy` puts a new release in its place",
        )
    _check_ports(host, http_port, grpc_port)
    run_dir = _make_run_dir(home)
    started = _start(home, release_dir, run_dir, host, http_port, grpc_port)
    return _wait_until_ready(home, started, run_dir, release.read(release_dir).limits)


def switch(
    home: Path, release_dir: Path, host: str, http_port: int, grpc_port: int
) -> tuple[State, Optional[State]]:
    """Have the service run the release, in the place of what runs now; if that fails, what ran before runs again.

    Returns:
        The service, and the one that it replaced.

    Raises:
        ServiceError: it did not become ready.
    """
    current = states.running(home)
    held = {current.http_port, current.grpc_port} if current is not None and current.host == host else set()
    _check_ports(host, http_port, grpc_port, held)
    before = stop(home)
    try:
        return launch(home, release_dir, host, http_port, grpc_port), before
    except ServiceError as error:
        if before is None:
            raise
        restore(home, before)
        raise ServiceError(
            f"{error.message}\n  the release before serves again, at {before.http_url}",
            where=error.where,
            remedy=error.remedy,
        ) from error


def restore(home: Path, before: State) -> State:
    """Have the service run what `before` records."""
    stop(home)
    return launch(home, Path(before.release), before.host, before.http_port, before.grpc_port)


def _check_ports(host: str, http_port: int, grpc_port: int, held: AbstractSet[int] = frozenset()) -> None:
    """Both ports can be bound, but for those that are `held` by the service that is about to make way."""
    for protocol, port in (("HTTP", http_port), ("GRPC", grpc_port)):
        if port not in held:
            _check_port(protocol, host, port)


def _check_port(protocol: str, host: str, port: int) -> None:
    try:
        error: Optional[OSError] = ports.try_bind(host, port)
    except OSError as unknown_host:
        error = unknown_host
    if error is not None:
        raise ServiceError(
            f"the {protocol} port {port} on {host} cannot be used: {error.strerror or error}",
            remedy=f"choose another with {protocol}_PORT=, or end the process that holds it",
        ) from error


def _make_run_dir(home: Path) -> Path:
    """A new directory for this run; those of the last runs are kept for their logs."""
    runs = home / "run"
    runs.mkdir(parents=True, exist_ok=True)
    for old in sorted(runs.iterdir())[:-_KEPT_RUNS]:
        shutil.rmtree(old, ignore_errors=True)
    path = runs / f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
    path.mkdir(mode=0o700)
    return path


def _start(
    home: Path, release_dir: Path, run_dir: Path, host: str, http_port: int, grpc_port: int
) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "toolkit.supervisor.service"]
    argv += [str(home.resolve()), str(release_dir.resolve()), host, str(http_port), str(grpc_port)]
    with (run_dir / SERVICE_LOG).open("ab") as log:
        # gRPC's handlers for fork only warn here: we never fork without exec.
        return process.start(argv, cwd=run_dir, env={"GRPC_ENABLE_FORK_SUPPORT": "0"}, stdout=log, stderr=log)


def _wait_until_ready(
    home: Path, started: subprocess.Popen[bytes], run_dir: Path, limits: release.Limits
) -> State:
    deadline = time.monotonic() + limits.start_seconds + 20
    try:
        while time.monotonic() < deadline:
            current = states.read(home)
            mine = current if current is not None and current.pid == started.pid else None
            if mine is not None and mine.status == READY:
                return mine
            if started.poll() is not None:
                raise _failed(mine, started.returncode, run_dir)
            time.sleep(0.05)
        raise _failed(None, None, run_dir)
    except BaseException:
        process.stop_group(started.pid, limits.grace_seconds)
        started.wait()
        raise


def _failed(state: Optional[State], code: Optional[int], run_dir: Path) -> ServiceError:
    if state is not None and state.status == FAILED:
        return ServiceError(f"the service did not start: {state.message}")
    how = f"ended with exit code {code}" if code is not None else "did not become ready in time"
    log = run_dir / SERVICE_LOG
    return ServiceError(f"the service {how}; the last lines of its log:\n{child.tail(log)}", where=str(log))


def stop(home: Path) -> Optional[State]:
    """Stop the running service with its whole group; what was running, or None.

    Raises:
        ServiceError: a process of it is left.
    """
    current = states.running(home)
    if current is None:
        return None
    grace = release.read(Path(current.release)).limits.grace_seconds
    process.stop_group(current.pid, 2 * grace + 5)
    if current.alive:
        raise ServiceError(
            f"process {current.pid} cannot be ended", remedy="see whether it is in uninterruptible I/O"
        )
    return current


def logs(home: Path) -> list[Path]:
    """The log files of the newest run."""
    runs = sorted((home / "run").glob("*"))
    return sorted(runs[-1].glob("*.log")) if runs else []
