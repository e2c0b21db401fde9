"""The default and the best of the search once more, in turn, since the best of many is partly the luckiest."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from toolkit.tuning.load import percentile

# A smaller gain is no reason to leave the default, however certain it is.
_WORTH = 1.02

# One-sided 95 % quantiles of Student's t by degrees of freedom: Abramowitz & Stegun, Handbook of Mathematical
# Functions, table 26.10.
_STUDENT = {1: 6.314, 2: 2.920, 3: 2.353, 4: 2.132, 5: 2.015, 6: 1.943}


@dataclass(frozen=True)
class Side:
    """
    Attributes:
        clients: that asked at a time.
        throughput: answers a second, of each round.
        milliseconds: of all requests.
    """

    clients: int
    throughput: Sequence[float]
    milliseconds: Sequence[float]

    @property
    def p99(self) -> float:
        """Milliseconds."""
        return percentile(self.milliseconds, 0.99)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "clients": self.clients,
            "throughput": list(self.throughput),
            "p99": self.p99,
            "requests": len(self.milliseconds),
        }


@dataclass(frozen=True)
class Verdict:
    """
    Attributes:
        ratio: throughput of the rival to that of the default: geometric mean of the rounds.
        low: with 95 % confidence it is not below this.
        taken: the rival takes the default's place.
        reason: why, or why not.
    """

    ratio: float
    low: float
    taken: bool
    reason: str

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def judge(default: Side, rival: Side, p99: float, fixed: bool, too_large: bool = False) -> Verdict:
    """Whether the rival is better within the bounds. Where the default is beyond one, the rival only has to be within.

    Args:
        default, rival: of as many rounds, 2 to 7.
        p99: milliseconds.
        fixed: that is asked for; else it is the default's own, and a default beyond it has had a hiccup.
        too_large: the default takes more memory than it may.
    """
    logs = [math.log(mine / its) for mine, its in zip(rival.throughput, default.throughput)]
    mean, error = statistics.fmean(logs), statistics.stdev(logs) / math.sqrt(len(logs))
    ratio, low = math.exp(mean), math.exp(mean - _STUDENT[len(logs) - 1] * error)
    each = ", ".join(f"{math.exp(value):.2f}" for value in logs)
    told = f"{ratio:.2f} times the throughput in turn (rounds: {each})"
    if rival.p99 > p99:
        return Verdict(ratio, low, False, f"its p99 of {rival.p99:.0f} ms is beyond {p99:.0f} ms; {told}")
    if fixed and default.p99 > p99:
        return Verdict(
            ratio, low, True, f"the default's p99 of {default.p99:.0f} ms is beyond {p99:.0f} ms; {told}"
        )
    if too_large:
        return Verdict(ratio, low, True, f"the default takes more memory than it may; {told}")
    if ratio < _WORTH or low < 1:
        return Verdict(ratio, low, False, f"{told} is no gain that is certain")
    return Verdict(ratio, low, True, told)
