"""The load of a soak: a number of clients that ask without a pause, until all requests are made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

# A service that fails this often is not going to last.
ENOUGH_FAILURES = 20

Send = Callable[[int], None]
Done = Callable[[int], None]


@dataclass
class Load:
    """What became of the requests.

    Attributes:
        seconds: how long each took that was answered.
        failures: what went wrong, by request.
        elapsed: seconds that all took together.
    """

    seconds: list[float] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)
    elapsed: float = 0.0

    @property
    def completed(self) -> int:
        return len(self.seconds) + len(self.failures)

    def quantile_ms(self, share: float) -> float:
        """The time in milliseconds that `share` of the answers took at most; 0 where there was none."""
        if not self.seconds:
            return 0.0
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


def run(send: Send, requests: int, clients: int, done: Done = lambda number: None) -> Load:
    """Make `requests` requests, `clients` of them at a time.

    Args:
        send: makes the request of a number from 1 on, and raises if it fails.
        done: called after each, in the client's thread, with the number of requests completed so far.
    """
    load, lock = Load(), threading.Lock()
    numbers = iter(range(1, requests + 1))

    def take() -> int | None:
        with lock:
            return None if len(load.failures) >= ENOUGH_FAILURES else next(numbers, None)

    def work() -> None:
        while (number := take()) is not None:
            began = time.monotonic()
            try:
                send(number)
                failure = None
            except Exception as error:
                failure = f"{type(error).__name__}: {error}"
            with lock:
                if failure is None:
                    load.seconds.append(time.monotonic() - began)
                else:
                    load.failures[number] = failure
                completed = load.completed
            done(completed)

    began = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        for future in [pool.submit(work) for _ in range(clients)]:
            future.result()
    load.elapsed = time.monotonic() - began
    return load
