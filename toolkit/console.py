"""What people see while the toolkit works: one line a stage, a progress bar on long work, nothing with --json."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tqdm import tqdm

from toolkit.child import Progress

# Seconds between two lines about the same work.
_PAUSE = 45.0


@dataclass
class Console:
    """Prints to standard error, so that standard output belongs to results.

    Attributes:
        quiet: print nothing.
        verbose: also tell of stages that had nothing to do.
        ran: the stages that did work, in their order.
    """

    quiet: bool = False
    ran: list[str] = field(default_factory=list)
    verbose: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _told: dict[str, float] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """Print a line."""
        if not self.quiet:
            with self._lock:
                tqdm.write(text, file=sys.stderr)

    @contextmanager
    def working(self, stage: str, name: str, unit: str = "") -> Iterator[Progress]:
        """Around the work of a stage: a progress bar on a terminal, and a line with the time when it is done."""
        self.ran.append(f"{stage} {name}")
        started = time.monotonic()
        label = f"  {stage:<10} {name}"
        bar = tqdm(
            desc=label,
            unit=unit or "it",
            leave=False,
            file=sys.stderr,
            disable=self.quiet or not sys.stderr.isatty(),
        )
        with self._lock:
            bar.refresh()

        def progress(done: int, total: int) -> None:
            with self._lock:
                bar.total = total
                bar.update(done - bar.n)
            self._say_now_and_then(label, done, total)

        try:
            yield progress
        finally:
            bar.close()
        self.say(f"{label:<32} {time.monotonic() - started:6.1f} s")

    def _say_now_and_then(self, label: str, done: int, total: int) -> None:
        """Where no bar is shown, in the log of CI say, a line now and then tells that work goes on."""
        now = time.monotonic()
        if not sys.stderr.isatty() and now - self._told.setdefault(label, now) >= _PAUSE:
            self._told[label] = now
            self.say(f"{label:<32} {done} of {total}")

    def unchanged(self, stage: str, name: str) -> None:
        """Note that a stage had nothing to do."""
        if not self.quiet and self.verbose:
            self.say(f"  {stage:<10} {name:<19} unchanged")
