"""Services of fake releases: all of the toolkit's own processes, and no model."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chaos.service import free_port, processes_of
from tests.fakes import LINES, png
from tests.serving.test_release import RELEASE
from toolkit.client import ClientError, GrpcClient, HttpClient
from toolkit.serving import release
from toolkit.supervisor import control, runs
from toolkit.supervisor import state as states
from toolkit.supervisor.deployed import Target
from toolkit.supervisor.settings import Settings
from toolkit.supervisor.state import State

ROOT = Path(__file__).resolve().parents[2]

LIMITS = {"start_seconds": 120, "grace_seconds": 3, "deadline_seconds": 10, "golden_interval_seconds": 2}

# Quick steps, for clients that ask hundreds of times a second.
CANARY = {"steps": [30], "interval_seconds": 0.5, "min_requests": 10, "mirror": 0.5, "inconclusives": 20}


def make_release(
    directory: Path,
    text: str,
    answer: str = "",
    start: float = 0.0,
    fails: int = 0,
    delay: float = 0.0,
    ends_at: int = 0,
    name: str = "ocr",
    canary: Mapping[str, Any] = {},
    watch: Mapping[str, Any] = {},
    **limits: Any,
) -> Path:
    """A release whose replicas read `text` in every image.

    Args:
        answer: what the gate recorded; by default what they read.
        ends_at: its replicas end at the request of that number.
        name: of its pipeline.
        canary, watch: other than `CANARY`, and what a release has.
        limits: other than `LIMITS`.
    """
    (directory / release.GOLDEN_DIR).mkdir(parents=True)
    plan = {
        **RELEASE,
        "name": name,
        "steps": [],
        "limits": {**RELEASE["limits"], **LIMITS, **limits},
        "canary": {**CANARY, **canary},
        "watch": {**watch},
        "agreement": {"kind": "text", "path": "lines.text", "rate": 0.001, "high": 0.005, "samples": 100},
    }
    (directory / release.RELEASE_FILE).write_text(yaml.safe_dump(plan))
    (directory / "fake.json").write_text(
        json.dumps(
            {"name": name, "text": text, "start": start, "fails": fails, "delay": delay, "ends_at": ends_at}
        )
    )
    entries = []
    for width in (64, 80):
        (directory / release.GOLDEN_DIR / f"{width}.png").write_bytes(png(width))
        lines = [{**LINES[0], "text": answer or text}]
        entries.append({"image": f"{width}.png", "answer": {"lines": lines, "width": width, "height": 32}})
    (directory / release.GOLDEN_DIR / release.GOLDEN_FILE).write_text(json.dumps(entries))
    return directory


@dataclass
class Stage:
    """A build directory of one pipeline, and the ports of its service."""

    home: Path
    settings: Settings
    name: str = "ocr"

    def target(self, path: Path, **changes: Any) -> Target:
        return Target(str(path), self.settings, **changes)

    @property
    def state(self) -> State:
        found = states.running(self.home)
        assert found is not None, "the service does not run"
        return found

    def read(self) -> str:
        """What the service reads in an image."""
        with HttpClient(self.state.http_url, timeout=10) as client:
            return client.predict(self.name, png()).lines[0].text

    def metrics(self) -> str:
        with HttpClient(self.state.http_url, timeout=10) as client:
            return client._transport.request("GET", "/metrics", timeout=5).body.decode()

    def replicas(self) -> list[tuple[int, str]]:
        return [(item["index"], item["state"]) for item in self.state.replicas]

    def processes(self) -> int:
        return len(processes_of(self.home))

    def wait_for(self, what: str, true: Any, seconds: float = 15) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"not in time: {what}\n{self.log()[-3000:]}"
            time.sleep(0.02)

    def log(self) -> str:
        """Of the service of the newest run."""
        return "".join(path.read_text() for path in runs.logs(self.home) if path.name == states.SERVICE_LOG)


def accept(state: State) -> str:
    """What a command may ask of a release before it confirms: nothing."""
    return state.release


@contextmanager
def stage(directory: Path, monkeypatch: pytest.MonkeyPatch, replicas: int = 1) -> Iterator[Stage]:
    """Nothing runs there yet; whatever does at the end is stopped, and what is left then is an error."""
    monkeypatch.setattr(control, "MODULE", "tests.supervisor.service")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
    made = Stage(directory / "home", Settings("127.0.0.1", free_port(), free_port(), replicas))
    try:
        yield made
    finally:
        control.stop(made.home)
        left = processes_of(made.home)
        for process in left:
            process.kill()
        assert not left, f"left behind: {left}"


@dataclass
class Asking:
    """Clients of both ports, each on one connection for as long as the `with` block runs."""

    state: State
    answers: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def __enter__(self) -> Asking:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(kind,)) for kind in ("http", "grpc")]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(20)

    def _ask(self, kind: str) -> None:
        made: Any = HttpClient(self.state.http_url) if kind == "http" else GrpcClient(self.state.grpc_target)
        with made as client:
            while not self._over.is_set():
                try:
                    self.answers[client.predict("ocr", png()).lines[0].text] += 1
                except ClientError as error:
                    self.problems.append(f"{kind}: {error}")
                time.sleep(0.005)
