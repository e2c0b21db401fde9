"""Which release served when, as far as it can be told from outside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Step:
    """A change of what serves.

    Attributes:
        what: `deploy` or `rollback`.
        label: of what serves afterwards.
        began, ended: of the command, on the monotonic clock; somewhen between them the change took place.
        effect_seconds: from the command's start until the service said that the change took place; 0: not measured.
        service_seconds: from the request to the service until the shift.
        warm: whether a replica stood by.
    """

    what: str
    label: str
    began: float
    ended: float = 0.0
    effect_seconds: float = 0.0
    service_seconds: float = 0.0
    warm: bool = False


@dataclass
class Timeline:
    """The release that served first, and all steps."""

    first: str
    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, what: str, label: str) -> Iterator[Step]:
        """Around a command."""
        step = Step(what, label, time.monotonic())
        yield step
        step.ended = time.monotonic()

    def serving(self, began: float, ended: float) -> set[str]:
        """The labels of what may have answered a request."""
        since, found, current = 0.0, set(), self.first
        for step in self.steps:
            if since <= ended and began <= step.ended:
                found.add(current)
            since, current = step.began, step.label
        if since <= ended:
            found.add(current)
        return found
