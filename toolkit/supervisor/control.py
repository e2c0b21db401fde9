"""Starting the service in the background, finding it again, and stopping it with all that it started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NoReturn, Optional

from toolkit import child, ports, process
from toolkit.errors import ServiceError
from toolkit.hardware import HARDWARE
from toolkit.serving import cpp as cpp_files
from toolkit.serving import release
from toolkit.supervisor import cpp, front, runs
from toolkit.supervisor import state as states
from toolkit.supervisor.conversation import conversation
from toolkit.supervisor.deployed import Start, Target
from toolkit.supervisor.settings import Settings
from toolkit.supervisor.state import FAILED, READY, SERVICE_LOG, STARTING, State

MODULE = "toolkit.supervisor.service"

_LETTING_GO_SECONDS = 2.0

# How long a service of another pipeline may take to start before this one cannot join it.
_STARTING_SECONDS = 300.0

# What a pipeline that leaves its service may take beside the time of its requests and replicas.
_LEAVING_SECONDS = 10.0

# gRPC's handlers for fork only warn: we never fork without exec.
_ENVIRONMENT = {"GRPC_ENABLE_FORK_SUPPORT": "0", "PYTHONUNBUFFERED": "1"}


def launch(home: Path, target: Target, provisional: bool = False, others: Sequence[Start] = ()) -> State:
    """Start the service of a release and wait until it is ready; where a service has its address, join that.

    Args:
        home: the pipeline's folder in the build directory.
        provisional: it is not what is deployed before a command confirms that; see `channel`.
        others: pipelines that the service is to start with, too.

    Raises:
        ServiceError: this machine cannot run it, one is running already, a port is taken, or it does not become ready.
    """
    plan = runnable(target)
    plans = [plan, *(runnable(other.target) for other in others)]
    _refuse_second(home)
    server = cpp_files.read(target.directory)
    host = host_of(home, target.settings) if server is None else None
    if host is not None:
        return _join(home, target, host, plan.limits)
    _wait_for_ports(home, target.settings)
    check_ports(target.settings)
    run_dir = runs.make(home)
    if server is not None:
        return cpp.launch(home, target, server, run_dir)
    starts = [Start(home, target, provisional), *others]
    started = _start(starts, run_dir)
    return _wait_until_ready(starts, started, run_dir, [item.limits for item in plans])


def host_of(home: Path, settings: Settings) -> Optional[State]:
    """Of a pipeline that a service serves at those ports; one that is just starting is waited for. None: no service."""
    deadline = time.monotonic() + _STARTING_SECONDS
    while True:
        host = states.at(home.parent, settings)
        if host is None or host.status != STARTING or time.monotonic() > deadline:
            return host
        time.sleep(0.05)


def _join(home: Path, target: Target, host: State, limits: release.Limits) -> State:
    """Have the service that `host` is served by serve this one, too."""
    try:
        with conversation(Path(host.run_dir), home) as talk:
            answer = talk.ask("shift", target=target.to_json(), front=front.of(target.settings, limits))
            if "changed" in answer:
                raise _cannot_launch(home, host, answer["changed"])
            talk.ask("confirm")
    except OSError as error:
        raise takes_no_commands(host, error) from error
    found = states.running(home)
    if found is None:
        raise ServiceError("the service ended meanwhile", where=str(home), remedy="`make logs` shows why")
    return found


def takes_no_commands(host: State, error: OSError) -> ServiceError:
    """Why nothing can join a service, or leave it."""
    return ServiceError(
        f"{host.name} has the ports, at {host.http_url}, and its service takes no commands: {error}",
        remedy=f"`make stop MODEL={host.name}` ends it; or choose other ports",
    )


def cannot_join(host: State, differs: Sequence[str]) -> ServiceError:
    """Why a pipeline cannot be served beside another one, under the same ports."""
    return ServiceError(
        f"{host.name} is served at {host.http_url}, and another pipeline can be served there only with the same: "
        f"{' and '.join(differs)}",
        remedy="give the same, or choose other ports (HTTP_PORT=, GRPC_PORT=)",
    )


def _cannot_launch(home: Path, host: State, differs: Sequence[str]) -> ServiceError:
    error = cannot_join(host, differs)
    if not front.allows_others(differs):
        return error
    remedy = f"`make deploy MODEL={home.name}` starts the service anew with all that it serves; or choose other ports"
    return ServiceError(error.message, remedy=remedy)


def serve(starts: Sequence[Start]) -> NoReturn:
    """Become the service, in the foreground: this process is replaced, so signals of a service manager reach it.

    Args:
        starts: what it is to serve, all at the address of the first.

    Raises:
        ServiceError: they cannot be served together, this machine cannot run one, one is running already, or a port is
            taken.
    """
    first = starts[0]
    _refuse_together(starts)
    for start in starts:
        runnable(start.target)
        _refuse_second(start.home)
    server = cpp_files.read(first.target.directory)
    _wait_for_ports(first.home, first.target.settings)
    check_ports(first.target.settings)
    run_dir = runs.make(first.home)
    if server is not None:
        cpp.serve(first.target, server, run_dir)
    argv = _argv(starts)
    os.environ.update(_ENVIRONMENT)
    os.chdir(run_dir)
    os.execv(argv[0], argv)


def _refuse_together(starts: Sequence[Start]) -> None:
    """
    Raises:
        ServiceError: two are of one pipeline, or one is for the C++ server.
    """
    homes = [start.home for start in starts]
    for home in homes:
        if homes.count(home) > 1:
            labels = " and ".join(start.target.label for start in starts if start.home == home)
            raise ServiceError(
                f"{labels} are releases of one pipeline, {home.name}", remedy="serve one of them"
            )
    for start in starts if len(starts) > 1 else ():
        if cpp_files.read(start.target.directory) is not None:
            raise ServiceError(
                f"{start.target.label} is for the C++ server, and the C++ server serves one pipeline alone",
                remedy="serve it by itself, at other ports",
            )


def runnable(target: Target) -> release.Release:
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


def _argv(starts: Sequence[Start]) -> list[str]:
    return [sys.executable, "-m", MODULE, json.dumps([start.to_json() for start in starts])]


def _start(starts: Sequence[Start], run_dir: Path) -> subprocess.Popen[bytes]:
    with (run_dir / SERVICE_LOG).open("ab") as log:
        return process.start(_argv(starts), cwd=run_dir, env=_ENVIRONMENT, stdout=log, stderr=log)


def _wait_until_ready(
    starts: Sequence[Start],
    started: subprocess.Popen[bytes],
    run_dir: Path,
    limits: Sequence[release.Limits],
) -> State:
    """The record of the first, once all are ready; with the limits of all."""
    deadline = time.monotonic() + max(item.start_seconds for item in limits) + 20
    try:
        while time.monotonic() < deadline:
            told = [states.read(start.home) for start in starts]
            mine = [state for state in told if state is not None and state.pid == started.pid]
            if len(mine) == len(starts) and all(state.status == READY for state in mine):
                return mine[0]
            if started.poll() is not None:
                raise _failed(mine, started.returncode, run_dir)
            time.sleep(0.05)
        raise _failed([], None, run_dir)
    except BaseException:
        process.stop_group(started.pid, max(item.grace_seconds for item in limits))
        started.wait()
        raise


def _failed(told: Sequence[State], code: Optional[int], run_dir: Path) -> ServiceError:
    for state in told:
        if state.status == FAILED:
            return ServiceError(f"the service did not start: {state.message}")
    how = f"ended with exit code {code}" if code is not None else "did not become ready in time"
    log = run_dir / SERVICE_LOG
    return ServiceError(f"the service {how}; the last lines of its log:\n{child.tail(log)}", where=str(log))


def stop(home: Path) -> Optional[State]:
    """Stop serving a pipeline: the service with its whole group, or, if that serves others, too, this one alone.

    Returns:
        What was running; None: nothing.

    Raises:
        ServiceError: a process of it is left.
    """
    current = states.running(home)
    if current is None:
        return None
    others = states.beside(home)
    if others:
        _leave(home, current, [state.name for state in others.values()])
    else:
        end([current])
    return current


def _leave(home: Path, current: State, others: Sequence[str]) -> None:
    """Have its service serve the others alone."""
    patience = current.deadline_seconds + 2 * current.grace_seconds + _LEAVING_SECONDS
    try:
        with conversation(Path(current.run_dir), home, patience) as talk:
            talk.ask("leave")
    except OSError as error:
        names = " and ".join(others)
        raise ServiceError(
            f"the service cannot be told to stop {current.name} alone: {error}",
            where=current.run_dir,
            remedy=f"`kill {current.pid}` ends it with all that it serves, {names} too; one that hangs, "
            f"`kill -KILL {current.pid}`",
        ) from error


def end(served: Sequence[State]) -> None:
    """End a service with its whole group.

    Args:
        served: the records of all that it serves; it takes as long as the one of them that takes longest.

    Raises:
        ServiceError: a process of it is left.
    """
    service = served[0]
    process.stop_group(service.pid, 2 * max(state.grace_seconds for state in served) + 5)
    if service.alive:
        raise ServiceError(
            f"process {service.pid} cannot be ended", remedy="see whether it is in uninterruptible I/O"
        )
