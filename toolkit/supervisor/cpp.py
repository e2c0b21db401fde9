"""The C++ server as a service: started once its binary is checked, alone, without a front door.

It binds all addresses and asks nobody for a key, which no argument changes; so it is started only for
who says HOST=0.0.0.0. Not verified with the real binary: see docs/targets.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import psutil

from toolkit import child, process
from toolkit.errors import ServiceError
from toolkit.gateway import keys
from toolkit.serving import cpp, release
from toolkit.serving.cpp import Server
from toolkit.supervisor.deployed import Target
from toolkit.supervisor.settings import Settings
from toolkit.supervisor.state import READY, SERVICE_LOG, STARTING, State, birth_of

_EVERYWHERE = "0.0.0.0"
_LOOK_SECONDS = 0.2


def check(sha256: str, settings: Settings) -> Path:
    """The binary to start.

    Args:
        sha256: what it has to be, in hex.

    Raises:
        ServiceError: there is none, or the settings ask for what the server does not do.
    """
    found = cpp.binary(sha256)
    if settings.host != _EVERYWHERE:
        raise ServiceError(
            "the C++ server listens on all addresses, whatever it is told",
            remedy=f"say that it may: HOST={_EVERYWHERE}; and keep others away by a firewall or a network policy",
        )
    if settings.keys_file or settings.tls or os.environ.get(keys.VARIABLE):
        raise ServiceError(
            "the C++ server knows neither API keys nor TLS",
            remedy=f"leave them out, {keys.VARIABLE} too, and put a proxy that knows them before it",
        )
    return found


def launch(home: Path, target: Target, server: Server, run_dir: Path) -> State:
    """Start it in the background and wait until it is healthy.

    Raises:
        ServiceError: see `check`; or it ends, or is not healthy in time.
    """
    binary = check(server.binary_sha256, target.settings)
    plan = release.read(target.directory)
    _lay_out(target.directory, server, run_dir)
    with (run_dir / SERVICE_LOG).open("ab") as log:
        started = process.start(
            server.command(sys.executable, target.settings.http_port),
            cwd=run_dir,
            env={cpp.VARIABLE: str(binary)},
            stdout=log,
            stderr=log,
        )
    state = State(
        pid=started.pid,
        created=psutil.Process(started.pid).create_time(),
        birth=birth_of(started.pid) or "",
        grace_seconds=plan.limits.grace_seconds,
        name=plan.name,
        release=target.release,
        variant=target.variant,
        run_dir=str(run_dir),
        settings=target.settings,
        status=STARTING,
        note="the C++ server: tensors alone, by one protocol; not verified",
    )
    try:
        _wait(started, state.http_url, time.monotonic() + plan.limits.start_seconds, run_dir / SERVICE_LOG)
    except BaseException:
        process.stop_group(started.pid, plan.limits.grace_seconds)
        started.wait()
        raise
    ready = replace(state, status=READY)
    ready.write(home)
    return ready


def serve(target: Target, server: Server, run_dir: Path) -> NoReturn:
    """Become it, in the foreground.

    Raises:
        ServiceError: see `check`.
    """
    os.environ[cpp.VARIABLE] = str(check(server.binary_sha256, target.settings))
    _lay_out(target.directory, server, run_dir)
    os.chdir(run_dir)
    argv = server.command(sys.executable, target.settings.http_port)
    os.execv(argv[0], argv)


def _lay_out(directory: Path, server: Server, run_dir: Path) -> None:
    """A copy of the model: the stock command writes into its directory, and the server takes no links for files."""
    model = server.arguments.model
    shutil.copytree(directory / model, run_dir / model)


def _wait(started: subprocess.Popen[bytes], url: str, deadline: float, log: Path) -> None:
    while time.monotonic() < deadline:
        if healthy(url):
            return
        if started.poll() is not None:
            raise _failed(f"ended with exit code {started.returncode}", log)
        time.sleep(_LOOK_SECONDS)
    raise _failed("is not healthy in time", log)


def healthy(url: str, seconds: float = 2.0) -> bool:
    """Whether the server at `url` says so (brpc's own page)."""
    try:
        with urllib.request.urlopen(url + cpp.HEALTH_PATH, timeout=seconds) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _failed(how: str, log: Path) -> ServiceError:
    return ServiceError(
        f"the C++ server {how}; the last lines of its log:\n{child.tail(log)}", where=str(log)
    )
