"""Running models once in each shape that they will meet.

An engine compiles for each shape when it first meets it; so no request has to wait for that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil

from toolkit.engines.predictor import Feed
from toolkit.engines.signature import Signature
from toolkit.errors import ModelError
from toolkit.pipeline import Shaped, Shapes, Step

_MEGABYTE = 1 << 20

# Of a fixed limit of memory. The rest is for requests: a replica that comes near its limit is replaced, and the next
# one would warm up as far.
_MEMORY_SHARE = 0.6


@dataclass(frozen=True)
class Warmed:
    """What was done for one model.

    Attributes:
        listed: shapes that there are.
        room: how many of them the engine keeps.
        run: how many the model has met, the first ones.
        seconds: that it took.
        full: whether memory ended it.
    """

    listed: int
    room: int
    run: int
    seconds: float
    full: bool

    def __str__(self) -> str:
        if not self.listed:
            return "its step lists no shapes"
        told = f"{self.run} of {self.listed} shapes in {self.seconds:.1f} s"
        if self.full:
            told += f", then it had {_MEMORY_SHARE:.0%} of serving.memory_limit_megabytes"
        elif self.run < min(self.listed, self.room):
            told += ", then the time was up (serving.warm_seconds, or half of serving.start_seconds)"
        if self.room < self.listed:
            told += f"; the engine keeps {self.room} of them: raise serving.cache_capacity, or list fewer"
        return told


class WarmUp:
    """Warms up the models of a replica, one after the other, as long as there is time, room and memory.

    Args:
        seconds: that it may take in all.
        deadline: when it ends in any case, on the monotonic clock.
        capacity: shapes that the engine keeps, of all models of the process together.
        limit: megabytes beyond which the process is replaced; None: that follows from what it has when it is warm.
    """

    def __init__(self, seconds: float, deadline: float, capacity: int, limit: int | None = None) -> None:
        self._seconds = seconds
        self._deadline = deadline
        self._capacity = capacity
        self._limit = limit

    def __call__(self, infer: Callable[[Feed], Any], signature: Signature, step: Step) -> Warmed:
        """Run `infer` on zeros in each shape that `step` lists; one that has begun when the time is up is finished.

        More than the engine keeps are not run: they would push out the first ones.

        Args:
            signature: the model's, for the types of its inputs.

        Raises:
            ModelError: the model refuses one of the shapes.
        """
        began = time.monotonic()
        until = min(began + self._seconds, self._deadline)
        listed = list(step.shapes()) if isinstance(step, Shaped) else []
        room, run = self._capacity, 0
        wanted = min(len(listed), room)
        while run < wanted and time.monotonic() < until and not self._is_full():
            _run(infer, signature, listed[run])
            run += 1
        seconds = time.monotonic() - began
        self._seconds -= seconds
        self._capacity -= run
        return Warmed(len(listed), room, run, seconds, full=run < wanted and self._is_full())

    def _is_full(self) -> bool:
        if self._limit is None:
            return False
        return bool(psutil.Process().memory_info().rss >= _MEMORY_SHARE * self._limit * _MEGABYTE)


def _run(infer: Callable[[Feed], Any], signature: Signature, shapes: Shapes) -> None:
    try:
        infer({item.name: np.zeros(shapes[item.name], item.dtype) for item in signature.inputs})
    except (KeyError, ModelError) as error:
        raise ModelError(
            f"the step's `shapes` has {dict(shapes)}, which the model does not take: {error}",
            remedy="list shapes of what `preprocess` gives, each with all inputs of the model",
        ) from error
