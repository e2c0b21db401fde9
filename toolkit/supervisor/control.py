"""Starting the service in the background, finding it again, and stopping it with all that it started."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Callable, NoReturn, Optional, TypeVar

from filelock import FileLock, Timeout

from toolkit import child, ports, process
from toolkit.errors import ServiceError, ToolkitError
from toolkit.serving import release
from toolkit.supervisor import state as states
from toolkit.supervisor.replica import clean
from toolkit.supervisor.service import SERVICE_LOG
from toolkit.supervisor.settings import Settings
from toolkit.supervisor.state import FAILED, READY, State

LOCK_FILE = "service.lock"

_KEPT_RUNS = 5
# gRPC's handlers for fork only warn: we never fork without exec.
_ENVIRONMENT = {"GRPC_ENABLE_FORK_SUPPORT": "0", "PYTHONUNBUFFERED": "1"}

# Longer than a deployment starts and verifies a service.
_LOCK_SECONDS = 300

Verified = TypeVar("Verified")


def launch(home: Path, release_dir: Path, settings: Settings) -> State:
    """Start the service of a release and wait until it is ready.

    Args:
        home: the pipeline's folder in the build directory.

    Raises:
        ServiceError: one is running already, a port is taken, or it does not become ready.
    """
    _refuse_second(home)
    _check_ports(settings)
    run_dir = _make_run_dir(home)
    started = _start(home, release_dir, run_dir, settings)
    return _wait_until_ready(home, started, run_dir, release.read(release_dir).limits)


def serve(home: Path, release_dir: Path, settings: Settings) -> NoReturn:
    """Become the service, in the foreground: this process is replaced, so signals of a service manager reach it.

    Raises:
        ServiceError: one is running already, or a port is taken.
    """
    _refuse_second(home)
    _check_ports(settings)
    run_dir = _make_run_dir(home)
    argv = _argv(home, release_dir, settings)
    os.environ.update(_ENVIRONMENT)
    os.chdir(run_dir)
    os.execv(argv[0], argv)


@contextmanager
def exclusive(home: Path) -> Iterator[None]:
    """Nobody else starts, replaces or stops the service meanwhile; waits for who is at it.

    Raises:
        ServiceError: another command has been at it for minutes.
    """
    home.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(str(home / LOCK_FILE), timeout=_LOCK_SECONDS):
            yield
    except Timeout as error:
        raise ServiceError(
            f"another command has been changing the service for {_LOCK_SECONDS} s",
            where=str(home / LOCK_FILE),
            remedy="wait for it, or end it",
        ) from error


def _refuse_second(home: Path) -> None:
    current = states.running(home)
    if current is not None:
        raise ServiceError(
            f"{current.name} is running already: process {current.pid}, {current.http_url}",
            where=str(home),
            remedy="`make stop` ends it; `make deploy` puts a new release in its place",
        )


def switch(
    home: Path,
    release_dir: Path,
    settings: Settings,
    verify: Callable[[State], Verified],
) -> tuple[State, Verified]:
    """Have the service run the release, in the place of what runs now; if that fails, what ran before runs again.

    Args:
        verify: asks the new service; if it raises, the new service goes too.

    Returns:
        The service, and what `verify` returned.

    Raises:
        ToolkitError: it did not become ready, or that of `verify`; the message says what serves now.
    """
    current = states.running(home)
    held = {current.http_port, current.grpc_port} if current is not None else set()
    _check_ports(settings, held)
    before = stop(home)
    try:
        state = launch(home, release_dir, settings)
        return state, verify(state)
    except ToolkitError as error:
        told = _put_back(home, before)
        raise type(error)(f"{error.message}\n  {told}", where=error.where, remedy=error.remedy) from error
    except BaseException:
        _put_back(home, before)
        raise


def _put_back(home: Path, before: Optional[State]) -> str:
    """Have the service run what `before` records; what serves then, in words."""
    try:
        stop(home)
        if before is None:
            return "nothing serves now"
        launch(home, Path(before.release), before.settings)
        return f"the release before serves again, at {before.http_url}"
    except ToolkitError as error:
        return f"nothing serves now: the release before could not be started again: {error.message}"


def _check_ports(settings: Settings, held: AbstractSet[int] = frozenset()) -> None:
    """Both ports can be bound, but for those that are `held` by the service that is about to make way."""
    for protocol, port in (("HTTP", settings.http_port), ("GRPC", settings.grpc_port)):
        # Of a held port only the address can be tried.
        _check_port(protocol, settings.host, 0 if port in held else port)


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
    for old in runs.iterdir():
        # What a service that was killed could not take with it.
        clean(old)
    path = runs / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}"
    path.mkdir(mode=0o700)
    return path


def _argv(home: Path, release_dir: Path, settings: Settings) -> list[str]:
    argv = [
        sys.executable,
        "-m",
        "toolkit.supervisor.service",
        str(home.resolve()),
        str(release_dir.resolve()),
    ]
    return [*argv, json.dumps(asdict(settings))]


def _start(home: Path, release_dir: Path, run_dir: Path, settings: Settings) -> subprocess.Popen[bytes]:
    argv = _argv(home, release_dir, settings)
    with (run_dir / SERVICE_LOG).open("ab") as log:
        return process.start(argv, cwd=run_dir, env=_ENVIRONMENT, stdout=log, stderr=log)


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
    process.stop_group(current.pid, 2 * current.grace_seconds + 5)
    if current.alive:
        raise ServiceError(
            f"process {current.pid} cannot be ended", remedy="see whether it is in uninterruptible I/O"
        )
    return current


def logs(home: Path) -> list[Path]:
    """The log files of the newest run: of the service, of its requests, and of each replica."""
    runs = sorted((home / "run").glob("*"))
    return sorted(runs[-1].rglob("*.log")) if runs else []
