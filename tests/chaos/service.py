"""A real service of a release in a directory of its own, gone afterwards with all that it started."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import psutil

from tests.chaos import ask
from tests.chaos.ask import Answer
from tests.chaos.metrics import Snapshot, parse
from tests.processes import processes_of
from toolkit.serving import release as releases
from toolkit.supervisor import control, runs
from toolkit.supervisor import state as states
from toolkit.supervisor.deployed import Target
from toolkit.supervisor.settings import Settings

# Characters of each log that are shown when something went wrong.
_LOG = 8000


@dataclass(frozen=True)
class Service:
    """
    Attributes:
        home: its record and its runs; its temporary files are in `home/tmp`.
        started: seconds until it was ready.
    """

    home: Path
    release: Path
    settings: Settings
    started: float

    @property
    def http(self) -> tuple[str, int]:
        return self.settings.host, self.settings.http_port

    @property
    def grpc(self) -> tuple[str, int]:
        return self.settings.host, self.settings.grpc_port

    @property
    def grpc_target(self) -> str:
        return f"{self.settings.host}:{self.settings.grpc_port}"

    @property
    def plan(self) -> releases.Release:
        return releases.read(self.release)

    @property
    def state(self) -> states.State:
        """Its record; it must be running."""
        found = states.running(self.home)
        assert found is not None, "the service does not run"
        return found

    @property
    def run_dir(self) -> Path:
        return Path(self.state.run_dir)

    def process(self) -> psutil.Process:
        return psutil.Process(self.state.pid)

    def replica(self, index: int) -> psutil.Process:
        """The process that fills a place, as the record has it."""
        return psutil.Process(self.state.replicas[index]["pid"])

    def ask(self, image: bytes, timeout: float = 60) -> Answer:
        """A prediction of an image file."""
        return ask.once(*self.http, image, timeout=timeout)

    def get(self, path: str) -> Answer:
        return ask.get(*self.http, path)

    def ready(self) -> bool:
        return self.get("/readyz").status == 200

    def look(self) -> Snapshot:
        """What its metrics say."""
        return parse(self.get("/metrics").body.decode())

    def log(self) -> str:
        return (self.run_dir / "service.log").read_text()

    def wait_until(self, what: str, true: Callable[[], Any], seconds: float = 60) -> float:
        """Seconds until `true()` is."""
        began = time.monotonic()
        while not true():
            assert time.monotonic() - began < seconds, (
                f"not within {seconds:g} s: {what}\n{self.log()[-3000:]}"
            )
            time.sleep(0.02)
        return time.monotonic() - began

    def wait_until_all_ready(self, seconds: float = 90) -> float:
        """Seconds until no place is empty, and the record says so too."""
        count = len(self.state.replicas)
        return self.wait_until("all replicas are ready", lambda: self._all_ready(count), seconds)

    def _all_ready(self, count: int) -> bool:
        now = {item["index"]: item["state"] for item in self.state.replicas}
        return (
            self.look().ready == count
            and set(now.values()) <= {"ready", "standby"}
            and self._pids_are_right()
        )

    def _pids_are_right(self) -> bool:
        """The record follows what happens half a second later."""
        return all(psutil.pid_exists(item["pid"]) for item in self.state.replicas)

    def stop(self) -> None:
        control.stop(self.home)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(release: Path, replicas: int) -> Iterator[Service]:
    """A service that is ready, in a temporary directory; what is left of it afterwards is an error."""
    home = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        yield launch(home, release, replicas)
    except BaseException:
        print("".join(f"\n{path}:\n{path.read_text()[-_LOG:]}" for path in runs.logs(home)), file=sys.stderr)
        raise
    finally:
        try:
            control.stop(home)
        finally:
            left = processes_of(home)
            for process in left:
                process.kill()
            shutil.rmtree(home, ignore_errors=True)
    assert not left, f"left behind: {left}"


def launch(home: Path, release: Path, replicas: int, ports: tuple[int, int] | None = None) -> Service:
    """Start it, and wait until it is ready.

    Args:
        ports: of HTTP and gRPC; None: free ones.
    """
    http_port, grpc_port = ports or (free_port(), free_port())
    settings = Settings("127.0.0.1", http_port, grpc_port, replicas)
    began = time.monotonic()
    with temporary_files_in(home / "tmp"):
        control.launch(home, Target(str(release), settings))
    return Service(home, release, settings, time.monotonic() - began)


@contextmanager
def temporary_files_in(directory: Path) -> Iterator[None]:
    """Processes that are started meanwhile put their temporary files there, where they can be counted."""
    directory.mkdir(parents=True, exist_ok=True)
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(directory)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before


def leftovers(directory: Path) -> list[str]:
    """Files below `directory` that only a running service needs: sockets, pulses, temporary and partial files."""
    return sorted(
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_socket()
        or path.suffix == ".pulse"
        or path.name.startswith(f".{states.STATE_FILE}")
        or (directory / "tmp") in path.parents
    )
