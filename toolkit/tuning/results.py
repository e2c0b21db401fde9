"""What was measured of a configuration, and what of it is within the bounds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Optional

from toolkit.tuning.space import Configuration


@dataclass(frozen=True)
class Point:
    """One load phase.

    Attributes:
        clients: that asked at a time.
        throughput: answers a second.
        p50, p99: milliseconds; of fewer than a hundred requests the 99th percentile is the slowest.
        requests: that these are of.
    """

    clients: int
    throughput: float
    p50: float
    p99: float
    requests: int


@dataclass(frozen=True)
class Result:
    """
    Attributes:
        points: by rising number of clients; none of what was refused.
        memory: megabytes of the service with all that it runs.
        refused: why it may not be taken; empty: it may.
        seconds: that all this took.
    """

    configuration: Configuration
    points: Sequence[Point] = ()
    memory: float = 0.0
    refused: str = ""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "configuration": dict(self.configuration.values),
            "points": [asdict(point) for point in self.points],
            "memory": self.memory,
            "refused": self.refused,
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Result:
        """What `to_json` wrote.

        Raises:
            KeyError, TypeError: it did not.
        """
        points = tuple(Point(**point) for point in data["points"])
        configuration = Configuration(data["configuration"])
        return cls(configuration, points, data["memory"], data["refused"], data["seconds"])


@dataclass(frozen=True)
class Bounds:
    """
    Attributes:
        p99: milliseconds.
        memory: megabytes; None: no limit.
    """

    p99: float
    memory: Optional[float] = None

    def best(self, result: Result) -> Optional[Point]:
        """Where it answers most within the bounds; None: it may not be taken."""
        if result.refused or (self.memory is not None and result.memory > self.memory):
            return None
        within = [point for point in result.points if point.p99 <= self.p99]
        return max(within, key=lambda point: point.throughput, default=None)

    def score(self, result: Result) -> float:
        """Answers a second within the bounds; what misses one counts as slower by as much as it misses it.

        That is for comparing alone: only what has a `best` may be taken.
        """
        over = max(1.0, result.memory / self.memory) if self.memory is not None else 1.0
        return max(point.throughput * min(1.0, self.p99 / point.p99) for point in result.points) / over


def pareto(results: Iterable[Result]) -> list[tuple[Result, Point]]:
    """The load phases that no other beats in throughput and p99 both, the quickest answers first."""
    every = [(result, point) for result in results for point in result.points]
    every.sort(key=lambda item: (item[1].p99, -item[1].throughput))
    found: list[tuple[Result, Point]] = []
    most = -math.inf
    for result, point in every:
        if point.throughput > most:
            found.append((result, point))
            most = point.throughput
    return found
