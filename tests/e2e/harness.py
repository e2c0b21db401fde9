"""A real deployment in a directory of its own, on free ports, by the command that users type."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from tests.processes import processes_of
from toolkit import pipeline

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"seed": 3, "pages": {"calibration": 4, "search": 3, "validation": 5}}

BUDGET = 100  # seconds


@dataclass(frozen=True)
class Finished:
    """A command that ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


@dataclass(frozen=True)
class Place:
    """A build directory, a small dataset, and two ports."""

    directory: Path
    http_port: int
    grpc_port: int

    @property
    def build(self) -> Path:
        return self.directory / "build"

    @property
    def home(self) -> Path:
        return self.build / "ocr"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def ports(self) -> list[str]:
        return ["--http-port", str(self.http_port), "--grpc-port", str(self.grpc_port)]

    def argv(self, command: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "toolkit", command, "--build", str(self.build), *arguments]

    def run(self, command: str, *arguments: str, timeout: float = 600) -> Finished:
        done = subprocess.run(
            self.argv(command, *arguments),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def deploy(self, *arguments: str) -> Finished:
        # Enough for all races; on so few pages the search for layers would go on for long.
        budget = [] if "--budget" in arguments else ["--budget", f"{BUDGET}s"]
        return self.run("deploy", "--json", "--data", str(self.data), *self.ports, *budget, *arguments)


@contextmanager
def place(like: Optional[Place] = None) -> Iterator[Place]:
    """A place that is gone afterwards, with everything that ran in it; what is left behind fails the test.

    Args:
        like: what has been built there need not be built here again.
    """
    directory = Path(tempfile.mkdtemp(prefix="e2e-"))
    here = Place(directory, free_port(), free_port())
    if like is not None:
        shutil.copytree(like.build / "store", here.build / "store")
    here.data.mkdir()
    pipeline.resolve(ROOT / "pipelines" / "ocr", "pages:build")(here.data, PAGES, lambda done, total: None)
    try:
        yield here
    finally:
        here.run("stop")
        left = processes_of(directory)
        for process in left:
            process.kill()
        shutil.rmtree(directory)
    assert not left, f"left behind: {left}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
