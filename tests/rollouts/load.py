"""Clients that ask for golden images without a pause: over HTTP, over gRPC, and Paddle's own client in its process."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from toolkit.client import ClientError, GrpcClient, HttpClient
from toolkit.serving.release import goldens
from toolkit.smoke import compare
from toolkit.supervisor.deployed import FP32, Target
from toolkit.supervisor.state import State

ROOT = Path(__file__).resolve().parents[2]

TIMEOUT = 150.0
HTTP, GRPC, PADDLE = "HTTP", "gRPC", "Paddle's client"


@dataclass(frozen=True)
class Outcome:
    """What became of a request.

    Attributes:
        began, ended: on the monotonic clock.
        answer: the prediction; None: there was none.
        problem: why not.
    """

    client: str
    image: str
    began: float
    ended: float
    answer: Any = None
    problem: str = ""


class Load:
    """Runs while the `with` block does; at its end each client gets the answer that it waits for."""

    def __init__(self, state: State, targets: Sequence[Target]) -> None:
        self.outcomes: list[Outcome] = []
        variants = [*targets, *(Target(item.release, item.settings, FP32) for item in targets)]
        self._expected = {item.label: _answers(item.directory) for item in variants}
        self._images = [path for path, _ in goldens(targets[0].directory)]
        self._state = state

    def __enter__(self) -> Load:
        self._over = threading.Event()
        argv = [
            sys.executable,
            "-m",
            "tests.rollouts.paddle",
            str(self._state.grpc_port),
            *map(str, self._images),
        ]
        self._paddle = subprocess.Popen(
            argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        http = HttpClient(self._state.http_url, TIMEOUT)
        grpc = GrpcClient(self._state.grpc_target, TIMEOUT)
        self._clients = [http, grpc]
        self._threads = [
            threading.Thread(target=self._ask, args=(HTTP, http.predict)),
            threading.Thread(target=self._ask, args=(GRPC, grpc.predict)),
            threading.Thread(target=self._listen),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        assert self._paddle.stdin is not None
        self._paddle.stdin.close()
        for thread in self._threads:
            thread.join(TIMEOUT + 10)
            assert not thread.is_alive(), "a request hangs beyond every deadline"
        self._paddle.wait(10)
        for client in self._clients:
            client.close()

    def _ask(self, name: str, predict: Callable[..., Any]) -> None:
        for image in itertools.cycle(self._images):
            if self._over.is_set():
                return
            began, answer, problem = time.monotonic(), None, ""
            try:
                answer = predict("ocr", image).raw
            except ClientError as error:
                problem = f"{type(error).__name__}: {error}"
            self.outcomes.append(Outcome(name, image.name, began, time.monotonic(), answer, problem))

    def _listen(self) -> None:
        assert self._paddle.stdout is not None
        for line in self._paddle.stdout:
            told = json.loads(line)
            answer = json.loads(told.pop("answer", "null"))
            self.outcomes.append(Outcome(PADDLE, answer=answer, **told))

    def wait_for(self, count: int, seconds: float = 90) -> None:
        """Until each client has had so many more answers."""
        names = (HTTP, GRPC, PADDLE)
        wanted = {name: self._count(name) + count for name in names}
        deadline = time.monotonic() + seconds
        while any(self._count(name) < wanted[name] for name in names):
            assert time.monotonic() < deadline, f"not {count} answers of each client within {seconds:g} s"
            time.sleep(0.05)

    def _count(self, name: str) -> int:
        return sum(item.client == name for item in list(self.outcomes))

    def answered_by(self, outcome: Outcome) -> str:
        """The label of the release whose answer it is; empty: of none."""
        for label, answers in self._expected.items():
            if not compare(answers[outcome.image], outcome.answer):
                return label
        return ""


def _answers(directory: Path) -> dict[str, Any]:
    return {path.name: answer for path, answer in goldens(directory)}
