"""One load phase against a running service: a fixed number of clients, each asking again when it has its answer.

It counts whole passes over the images, from when each client has its first answer; clients go on until the last pass
has ended. So no replica is idle within the figures, and each configuration has had the same work.
"""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections.abc import Sequence
from itertools import count

from toolkit.client import ClientError, DeadlineExceeded, HttpClient, Unavailable
from toolkit.client.contents import predict_file
from toolkit.content.kinds import Kind
from toolkit.errors import SmokeError
from toolkit.tuning.results import Point

# The status of a request that finds no place in the queue.
_FULL = 429


class TooSlow(SmokeError):
    """A request had no answer in time, or no place in the queue; fewer clients may have theirs."""


def phase(
    url: str,
    model: str,
    images: Sequence[bytes],
    clients: int,
    seconds: float,
    timeout: float,
    kind: Kind = "image",
) -> tuple[Point, Sequence[float]]:
    """What the clients saw, and the milliseconds of each request.

    Args:
        seconds: at least; the pass that is under way then is finished.
        timeout: seconds, of a request.
        kind: of what the pipeline takes, and `images` are.

    Raises:
        TooSlow: a request had no answer in time, or no place in the queue.
        SmokeError: one failed.
    """
    load = _Load(url, model, images, clients, seconds, timeout, kind)
    load.run()
    if load.problem is not None:
        raise _failed(load.problem, clients)
    times = load.milliseconds
    point = Point(
        clients, len(times) / load.elapsed, statistics.median(times), percentile(times, 0.99), len(times)
    )
    return point, times


def _failed(problem: Exception, clients: int) -> Exception:
    if not isinstance(problem, ClientError):
        return problem
    full = isinstance(problem, Unavailable) and problem.status == _FULL
    kind = TooSlow if full or isinstance(problem, DeadlineExceeded) else SmokeError
    return kind(f"a request failed with {clients} clients: {type(problem).__name__}: {problem}")


def percentile(values: Sequence[float], share: float) -> float:
    """The least of the values that so large a share of them does not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


class _Load:
    def __init__(
        self,
        url: str,
        model: str,
        images: Sequence[bytes],
        clients: int,
        seconds: float,
        timeout: float,
        kind: Kind,
    ) -> None:
        self._url, self._model, self._images, self._kind = url, model, images, kind
        self._clients, self._seconds, self._timeout = clients, seconds, timeout
        self._numbers = count()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._answers = 0
        self._began = 0.0
        self.milliseconds: list[float] = []
        self.elapsed = 0.0
        self.problem: Exception | None = None

    def run(self) -> None:
        with HttpClient(self._url, self._timeout) as client:
            threads = [
                threading.Thread(target=self._ask, args=(client,), name=f"load-{number}")
                for number in range(self._clients)
            ]
            try:
                for thread in threads:
                    thread.start()
                self._over.wait()
            finally:
                self._over.set()
                for thread in threads:
                    thread.join()

    def _ask(self, client: HttpClient) -> None:
        while not self._over.is_set():
            image = self._images[next(self._numbers) % len(self._images)]
            began = time.perf_counter()
            try:
                predict_file(client, self._model, self._kind, image)
            except Exception as error:
                # Whatever it is: who waits for the end of the phase would wait for ever.
                self.problem = error
                self._over.set()
                return
            self._note(began, time.perf_counter())

    def _note(self, began: float, now: float) -> None:
        with self._lock:
            if self._over.is_set():
                return
            self._answers += 1
            if self._answers == self._clients:
                self._began = now
            if self._answers <= self._clients:
                return
            self.milliseconds.append((now - began) * 1000)
            self.elapsed = now - self._began
            if self.elapsed >= self._seconds and len(self.milliseconds) % len(self._images) == 0:
                self._over.set()
