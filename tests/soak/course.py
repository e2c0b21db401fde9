"""The course of memory over a soak: samples around every 500th request, and the ratio of the last to the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

EVERY = 500
AROUND = 25
LIMIT = 1.1


def points(requests: int) -> list[int]:
    """The requests that memory is looked at: 500, 1,000, ..."""
    return list(range(EVERY, requests + 1, EVERY))


def point_of(completed: int, requests: int) -> Optional[int]:
    """The point that a sample after so many requests belongs to: the one within 25 of it; None: none is."""
    nearest = round(completed / EVERY) * EVERY
    inside = EVERY <= nearest <= requests and abs(completed - nearest) <= AROUND
    return nearest if inside else None


@dataclass
class Course:
    """What was sampled: by point and process the most bytes, since a single sample may be a moment of rest."""

    requests: int
    highest: dict[int, dict[int, int]] = field(default_factory=dict)

    def add(self, completed: int, resident: Mapping[int, int]) -> None:
        """Take in the bytes of each process after so many requests."""
        point = point_of(completed, self.requests)
        if point is None:
            return
        known = self.highest.setdefault(point, {})
        for pid, size in resident.items():
            known[pid] = max(size, known.get(pid, 0))

    def largest(self, point: int) -> Optional[int]:
        """Bytes of the replica that had most there; None: there was no replica."""
        return max(self.highest.get(point, {}).values(), default=None)

    @property
    def ratio(self) -> Optional[float]:
        """What the largest replica had at the last point, as a multiple of that at the first; None: not known."""
        first, *others = points(self.requests)
        begin, end = self.largest(first), self.largest(others[-1]) if others else None
        return end / begin if begin and end else None

    @property
    def replaced(self) -> int:
        """Replicas that were there at a point and not at the next: a new process has forgotten what it held."""
        seen = [set(self.highest.get(point, {})) for point in points(self.requests)]
        return sum(len(before - after) for before, after in zip(seen, seen[1:]))
