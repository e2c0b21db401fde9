"""Clients side by side that ask without a pause."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Ask = Callable[[Path], Any]


@dataclass(frozen=True)
class Load:
    """What was done.

    Attributes:
        times: seconds of each request.
        seconds: from the first request to the last answer.
    """

    times: tuple[float, ...]
    seconds: float

    @property
    def rate(self) -> float:
        """Images a second."""
        return len(self.times) / self.seconds


def meet(asks: Sequence[Ask], images: Sequence[Path]) -> None:
    """Have all that answer meet each image, which is asked by all `asks` at once, so that none is left idle."""
    for image in images:
        saturate(asks, [image], 0, at_least=2 * len(asks))


def in_turn(ways: Mapping[str, Sequence[Ask]], number: int) -> list[tuple[str, Sequence[Ask]]]:
    """The ways of a round; in every other one they go the other way round, so that none always comes first."""
    return list(ways.items())[:: -1 if number % 2 else 1]


def saturate(asks: Sequence[Ask], images: Sequence[Path], seconds: float, at_least: int = 0) -> Load:
    """All `asks` side by side, each without a pause, over the images in turn.

    Args:
        seconds: until then new requests begin, and until there were `at_least`.

    Raises:
        Exception: what an ask raised.
    """
    begin = time.monotonic()
    ended: list[tuple[float, float]] = []
    errors: list[BaseException] = []
    turn = itertools.count()

    def work(ask: Ask) -> None:
        try:
            while not errors and (time.monotonic() < begin + seconds or len(ended) < at_least):
                began = time.monotonic()
                ask(images[next(turn) % len(images)])
                ended.append((began, time.monotonic()))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(ask,)) for ask in asks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return Load(tuple(end - began for began, end in ended), max(end for _, end in ended) - begin)
