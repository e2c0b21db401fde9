"""Watching a service from outside, every 50 ms: whether it is ready, and how long each killed replica was missed."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from tests.chaos.ask import Caller
from tests.chaos.metrics import Snapshot, parse

_EVERY = 0.05

# Without anything to recover from, the metrics are read once in so many looks.
_SELDOM = 10


@dataclass
class Recovery:
    """A replica that was killed. The seconds are upper bounds: they were seen at the next look.

    Attributes:
        at: when, on the monotonic clock.
        restarts: of its place before.
        out: seconds until it was out of rotation; None: not yet.
        back: seconds until the next one was ready; None: not yet.
    """

    index: int
    at: float
    restarts: int
    out: float | None = None
    back: float | None = None

    def see(self, snapshot: Snapshot, now: float) -> None:
        """Take in what the metrics said, in the end at `now`."""
        replaced = snapshot.replaced(self.index) > self.restarts
        ready = snapshot.states.get(self.index) == "ready"
        if self.out is None and (replaced or not ready):
            self.out = now - self.at
        if self.back is None and replaced and ready:
            self.back = now - self.at


@dataclass
class Watch:
    """Looks while the `with` block runs.

    Attributes:
        looks: at `/readyz`.
        absent: the times of those that did not find it ready.
        fewest: replicas that were ready at once, at least.
        last: what the metrics last said.
    """

    host: str
    port: int
    looks: int = 0
    absent: list[float] = field(default_factory=list)
    fewest: int | None = None
    last: Snapshot | None = None
    recoveries: list[Recovery] = field(default_factory=list)

    def __enter__(self) -> Watch:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)

    def expect(self, index: int, at: float, restarts: int | None = None) -> Recovery:
        """Follow the place of a replica that was killed at `at`.

        Args:
            restarts: of the place before; None: as the metrics said last.
        """
        if restarts is None:
            restarts = self.last.replaced(index) if self.last is not None else 0
        recovery = Recovery(index, at, restarts)
        self.recoveries.append(recovery)
        return recovery

    @property
    def recovering(self) -> bool:
        """Whether a killed replica is missed still."""
        return any(item.back is None for item in list(self.recoveries))

    def wait_until_recovered(self, seconds: float) -> bool:
        """Whether all are back within that time."""
        deadline = time.monotonic() + seconds
        while self.recovering and time.monotonic() < deadline:
            time.sleep(_EVERY)
        return not self.recovering

    def _work(self) -> None:
        caller = Caller(self.host, self.port, timeout=20)
        try:
            while True:
                due = time.monotonic() + _EVERY
                self._look(caller)
                # The last look comes after the end has been asked for: nothing is missed.
                if self._over.wait(max(0.0, due - time.monotonic())):
                    return
        finally:
            caller.close()

    def _look(self, caller: Caller) -> None:
        began = time.monotonic()
        if caller.request("GET", "/readyz").status != 200:
            self.absent.append(began)
        if self.recovering or self.looks % _SELDOM == 0:
            self._read_metrics(caller)
        self.looks += 1

    def _read_metrics(self, caller: Caller) -> None:
        # Only those that were killed before the question: its answer must not be older than they.
        following = list(self.recoveries)
        answer = caller.request("GET", "/metrics")
        if answer.status != 200:
            return
        now, snapshot = time.monotonic(), parse(answer.body.decode())
        for recovery in following:
            recovery.see(snapshot, now)
        self.fewest = snapshot.ready if self.fewest is None else min(self.fewest, snapshot.ready)
        self.last = snapshot
