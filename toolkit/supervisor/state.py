"""The record of the running service: written by the service itself, read by every command."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Optional

from toolkit.supervisor.deployed import RELEASE, Target
from toolkit.supervisor.settings import Settings

STATE_FILE = "service.json"

# The log of the service, in its run directory.
SERVICE_LOG = "service.log"

STARTING, READY, STOPPING, STOPPED, FAILED = "starting", "ready", "stopping", "stopped", "failed"


@dataclass(frozen=True)
class State:
    """A pipeline that a service process serves, or served.

    Attributes:
        pid: of the service, which may serve other pipelines, too; it leads its own session.
        created: when the process began, in seconds since the epoch; to show, since the clock may be set.
        birth: what tells this process from a later one of the same pid; see `birth_of`.
        release: the release's directory.
        variant: which of its models answer; see `Target`.
        run_dir: where the service runs and logs.
        settings: how it runs; the ports are those in use.
        grace_seconds, deadline_seconds: how long it may take to end its replicas, and to answer what it has.
        status: `starting`, `ready`, `stopping`, `stopped` or `failed`; the process of one that is `stopped` may live.
        message: why it failed.
        replicas: a `ReplicaStatus` of each, as of the last change.
        note: what else an operator should know: of a canary, or of what the watch found.
    """

    pid: int
    created: float
    name: str
    release: str
    run_dir: str
    settings: Settings
    variant: str = RELEASE
    birth: str = ""
    grace_seconds: float = 10.0
    deadline_seconds: float = 30.0
    status: str = STARTING
    message: str = ""
    replicas: list[dict[str, Any]] = field(default_factory=list)
    note: str = ""

    @property
    def target(self) -> Target:
        """What serves, and how."""
        return Target(self.release, self.settings, self.variant)

    @property
    def host(self) -> str:
        """Address that it listens on."""
        return self.settings.host

    @property
    def http_port(self) -> int:
        """Port of HTTP."""
        return self.settings.http_port

    @property
    def grpc_port(self) -> int:
        """Port of gRPC."""
        return self.settings.grpc_port

    @property
    def alive(self) -> bool:
        """Whether that process is still there."""
        return bool(self.birth) and birth_of(self.pid) == self.birth

    @property
    def loopback(self) -> bool:
        """Whether only programs on this machine can reach it."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    @property
    def client_host(self) -> str:
        """The address that a client on this machine uses."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)

    @property
    def http_url(self) -> str:
        """Base URL of the HTTP endpoint, from this machine."""
        host = f"[{self.client_host}]" if ":" in self.client_host else self.client_host
        scheme = "http" if self.settings.tls is None else "https"
        return f"{scheme}://{host}:{self.http_port}"

    @property
    def grpc_target(self) -> str:
        """Target of the gRPC endpoint, from this machine."""
        host = f"[{self.client_host}]" if ":" in self.client_host else self.client_host
        return f"{host}:{self.grpc_port}"

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object, with where to reach the service."""
        return {**asdict(self), "http": self.http_url, "grpc": self.grpc_target}

    def write(self, directory: Path) -> None:
        """Put it in the place of the record before, whole."""
        directory.mkdir(parents=True, exist_ok=True)
        partial = directory / f".{STATE_FILE}.{os.getpid()}"
        partial.write_text(json.dumps(self.to_json(), indent=2), encoding="utf-8")
        partial.replace(directory / STATE_FILE)


def birth_of(pid: int) -> Optional[str]:
    """The boot and the tick at which the process `pid` began; None if it is gone or a zombie (proc(5))."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    state, began = stat[0], stat[19]
    return None if state in "ZX" else f"{boot}/{began}"


def read(directory: Path) -> Optional[State]:
    """The record in `directory`, of a service that may have ended; None where there is none."""
    try:
        data = json.loads((directory / STATE_FILE).read_text(encoding="utf-8"))
        known = {item.name for item in fields(State)}
        told = {key: value for key, value in data.items() if key in known}
        return State(**{**told, "settings": Settings(**told["settings"])})
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None


def running(directory: Path) -> Optional[State]:
    """The record of a pipeline that a service which is alive serves, or None."""
    state = read(directory)
    return state if state is not None and state.status != STOPPED and state.alive else None


def all_running(build: Path) -> dict[Path, State]:
    """The records of all pipelines of a build directory that are served, by their folders."""
    homes = (file.parent for file in sorted(build.glob(f"*/{STATE_FILE}")))
    return {home: state for home in homes if (state := running(home)) is not None}


def served_by(build: Path, service: State) -> dict[Path, State]:
    """Of all pipelines that the service serves which one of them is the record of."""
    return {home: state for home, state in all_running(build).items() if state.pid == service.pid}


def beside(home: Path) -> dict[Path, State]:
    """Of the other pipelines that the service of this one serves, too."""
    mine = running(home)
    if mine is None:
        return {}
    return {other: state for other, state in served_by(home.parent, mine).items() if other != home}


def at(build: Path, settings: Settings) -> Optional[State]:
    """Of a pipeline that a service serves at one of those ports, rather one that is ready; None: no service does."""
    wanted = {settings.http_port, settings.grpc_port}
    found = [state for state in all_running(build).values() if wanted & {state.http_port, state.grpc_port}]
    return max(found, key=lambda state: state.status == READY, default=None)
