"""Starting the service in the background, finding it again, and stopping it with all that it started."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, Optional

from toolkit import child, ports, process
from toolkit.errors import ServiceError
from toolkit.hardware import HARDWARE
from toolkit.serving import cpp as cpp_files
from toolkit.serving import release
from toolkit.supervisor import cpp
from toolkit.supervisor import state as states
from toolkit.supervisor.conversation import SOCKET
from toolkit.supervisor.deployed import Target
from toolkit.supervisor.replica import clean, folder_of
from toolkit.supervisor.settings import Settings
from toolkit.supervisor.state import FAILED, READY, SERVICE_LOG, State

MODULE = "toolkit.supervisor.service"

_KEPT_RUNS = 5

_LETTING_GO_SECONDS = 2.0
# gRPC's handlers for fork only warn: we never fork without exec.
_ENVIRONMENT = {"GRPC_ENABLE_FORK_SUPPORT": "0", "PYTHONUNBUFFERED": "1"}


def launch(home: Path, target: Target, provisional: bool = False) -> State:
    """Start the service of a release and wait until it is ready.

    Args:
        home: the pipeline's folder in the build directory.
        provisional: it is not what is deployed before a command confirms that; see `channel`.

    Raises:
        ServiceError: this machine cannot run it, one is running already, a port is taken, or it does not become ready.
    """
    plan = _runnable(target)
    _refuse_second(home)
    _wait_for_ports(home, target.settings)
    check_ports(target.settings)
    limits = plan.limits
    run_dir = _make_run_dir(home)
    server = cpp_files.read(target.directory)
    if server is not None:
        return cpp.launch(home, target, server, run_dir)
    started = _start(home, target, run_dir, provisional)
    return _wait_until_ready(home, started, run_dir, limits)


def serve(home: Path, target: Target) -> NoReturn:
    """Become the service, in the foreground: this process is replaced, so signals of a service manager reach it.

    Raises:
        ServiceError: this machine cannot run it, one is running already, or a port is taken.
    """
    _runnable(target)
    _refuse_second(home)
    _wait_for_ports(home, target.settings)
    check_ports(target.settings)
    run_dir = _make_run_dir(home)
    server = cpp_files.read(target.directory)
    if server is not None:
        cpp.serve(target, server, run_dir)
    argv = _argv(home, target)
    os.environ.update(_ENVIRONMENT)
    os.chdir(run_dir)
    os.execv(argv[0], argv)


def _runnable(target: Target) -> release.Release:
    """The release, if this machine has what it was built for.

    Raises:
        ServiceError: it has not.
    """
    plan = release.read(target.directory)
    HARDWARE[plan.target].require()
    server = cpp_files.read(target.directory)
    if server is not None:
        cpp.check(server.binary_sha256, target.settings)
    return plan


def _refuse_second(home: Path) -> None:
    current = states.running(home)
    if current is not None:
        raise ServiceError(
            f"{current.name} is running already: process {current.pid}, {current.http_url}",
            where=str(home),
            remedy="`make stop` ends it; `make deploy` puts a new release in its place",
        )


def _wait_for_ports(home: Path, settings: Settings) -> None:
    """Until a service that was just killed has let go: its ports are free when the last of its threads has ended."""
    last = states.read(home)
    if last is None:
        return
    held = {last.http_port, last.grpc_port} & {settings.http_port, settings.grpc_port}
    deadline = time.monotonic() + _LETTING_GO_SECONDS
    while time.monotonic() < deadline and any(ports.try_bind(last.host, port) for port in held):
        time.sleep(0.02)


def check_ports(settings: Settings, held: AbstractSet[int] = frozenset()) -> None:
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
        (old / SOCKET).unlink(missing_ok=True)
        for folder in old.glob(str(folder_of("*"))):
            clean(folder)
    path = runs / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}"
    path.mkdir(mode=0o700)
    return path


def _argv(home: Path, target: Target, provisional: bool = False) -> list[str]:
    absolute = replace(target, release=str(Path(target.release).resolve()))
    argv = [sys.executable, "-m", MODULE, str(home.resolve()), json.dumps(absolute.to_json())]
    return [*argv, "provisional"] if provisional else argv


def _start(home: Path, target: Target, run_dir: Path, provisional: bool) -> subprocess.Popen[bytes]:
    argv = _argv(home, target, provisional)
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
