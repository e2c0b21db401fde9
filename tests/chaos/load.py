"""Clients that ask for the golden images of a release without a pause, and compare every answer."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.ask import PATH, Answer, Caller
from toolkit.serving.release import goldens
from toolkit.smoke import compare

# After a request that failed, so that a service without a replica is not run over.
_REST = 0.05

TIMEOUT = 90.0


@dataclass(frozen=True)
class Question:
    """An image file, and the answer that the gate recorded for it."""

    name: str
    image: bytes
    expected: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What became of a request.

    Attributes:
        began, ended: on the monotonic clock.
        wrong: how its answer differs from the one that it must be; empty where it does not.
    """

    question: str
    began: float
    ended: float
    answer: Answer
    wrong: str = ""

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def failed(self) -> bool:
        """Whether there was no prediction."""
        return self.answer.status != 200


def questions(release: Path) -> list[Question]:
    """The golden images of the release."""
    return [Question(path.name, path.read_bytes(), expected) for path, expected in goldens(release)]


@dataclass
class Load:
    """Clients that run while the `with` block does; at its end each gets the answer that it waits for.

    Attributes:
        first: the first answer to each question, which all later ones must equal to the last digit.
        outcomes: what became of the requests that have ended, in that order.
    """

    host: str
    port: int
    asked: Sequence[Question]
    clients: int
    rest: float = 0.0
    first: dict[str, Any] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._over, self._lock = threading.Event(), threading.Lock()
        self._threads = [
            threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(self.clients)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask no more, and wait for what was asked."""
        self._over.set()
        for thread in self._threads:
            thread.join(TIMEOUT + 10)
            assert not thread.is_alive(), "a request hangs beyond every deadline"

    def _work(self, number: int) -> None:
        caller = Caller(self.host, self.port, TIMEOUT)
        try:
            for turn in itertools.count(number):
                if self._over.is_set():
                    return
                outcome = self._ask(caller, self.asked[turn % len(self.asked)])
                with self._lock:
                    self.outcomes.append(outcome)
                pause = max(self.rest, _REST if outcome.failed else 0.0)
                if pause:
                    self._over.wait(pause)
        finally:
            caller.close()

    def _ask(self, caller: Caller, question: Question) -> Outcome:
        began = time.monotonic()
        answer = caller.request("POST", PATH, question.image)
        ended = time.monotonic()
        wrong = self._compare(question, answer.json) if answer.status == 200 else ""
        return Outcome(question.name, began, ended, answer, wrong)

    def _compare(self, question: Question, got: Any) -> str:
        with self._lock:
            first = self.first.setdefault(question.name, got)
        if got != first:
            return f"not the first answer to {question.name}: {'; '.join(compare(first, got)) or got}"
        return "; ".join(compare(question.expected, got))

    @property
    def failures(self) -> list[Outcome]:
        return [item for item in list(self.outcomes) if item.failed]

    @property
    def wrong(self) -> list[Outcome]:
        return [item for item in list(self.outcomes) if item.wrong]

    @property
    def longest(self) -> float:
        """Seconds that a client waited at most."""
        return max((item.seconds for item in list(self.outcomes)), default=0.0)

    def wait_for(self, count: int, seconds: float = 60) -> None:
        """Until so many more requests have ended."""
        wanted, deadline = len(self.outcomes) + count, time.monotonic() + seconds
        while len(self.outcomes) < wanted:
            assert time.monotonic() < deadline, f"no {count} requests were answered within {seconds:g} s"
            time.sleep(0.02)
