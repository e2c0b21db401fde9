"""A model in a thread of its own, that whoever needs an inference waits for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Callable

from toolkit.engines.predictor import Feed, Fetch


class ModelThread:
    """Calls of any thread, run one after the other in one.

    A predictor takes one call at a time, and oneDNN keeps its primitives by thread: with two, each shape would be
    compiled and kept twice.

    Args:
        load: gives the predictor; called in the thread.
        beat: called after every inference.
    """

    def __init__(
        self, name: str, load: Callable[[], Callable[[Feed], Fetch]], beat: Callable[[], None]
    ) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._infer = self._thread.submit(load).result()
        self._beat = beat

    def __call__(self, feed: Feed) -> Fetch:
        """One inference; raises what the predictor raises."""
        return self._thread.submit(self._run, feed).result()

    def _run(self, feed: Feed) -> Fetch:
        try:
            return self._infer(feed)
        finally:
            self._beat()
