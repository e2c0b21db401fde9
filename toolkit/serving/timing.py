"""Where the time of a request goes within a replica, told to the front door beside the answer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

# The gRPC trailing metadata that carries it.
METADATA_KEY = "toolkit-timings"


class Timings:
    """The stages of one request; each thread that works on it does so in its turn, so it needs no lock."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._stages: dict[str, float] = {}
        self._batches: dict[str, list[int]] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to the stage `name`: `decode`, `det.preprocess`, ..."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - began)

    def add(self, name: str, seconds: float) -> None:
        """Add to a stage."""
        self._stages[name] = self._stages.get(name, 0.0) + seconds

    def batch(self, model: str, size: int) -> None:
        """One inference of `model` with `size` samples."""
        self._batches.setdefault(model, []).append(size)

    def text(self) -> str:
        """All of it as JSON: seconds by stage, sizes of batches by model, and seconds in all until now."""
        stages = {name: round(seconds, 6) for name, seconds in self._stages.items()}
        total = round(time.perf_counter() - self._began, 6)
        return json.dumps({"stages": stages, "batches": self._batches, "total": total})
