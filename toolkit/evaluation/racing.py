"""Racing: many candidates on few samples, the best of them on all.

Successive halving (Jamieson and Talwalkar, 2016) with paired statistics: each round shows the candidates more
samples; then those go that are worse than the leader by more than noise, and those outside the better half.
"""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Callable, Generic, Optional, TypeVar, Union

from toolkit.evaluation.metrics import Counts, total

Candidate = TypeVar("Candidate", bound=Hashable)
Score = Callable[[Counts], float]
"""Of a sum of counts, in 0..1; higher is better. As smooth in the counts as recall and hmean are."""


@dataclass(frozen=True)
class Crashed:
    """In the place of a measurement that could not be made."""

    reason: str


Outcome = Union[Sequence[Counts], Crashed]
Measure = Callable[[Sequence[Candidate], range], Sequence[Outcome]]
"""Measures each candidate on the samples of these indices (a range with a step); one outcome for each candidate."""


@dataclass(frozen=True)
class Rules:
    """How to race.

    Attributes:
        rounds: at most; each but the first doubles the samples.
        keep: so many go on at least, unless they are worse by more than noise or crash.
        minimum: samples of the first round at least; there are fewer rounds where samples are few.
        errors: so many standard errors of the paired difference are noise.
        tolerance: a difference of so much (in units of the score) is no reason to drop, proven or not.
        seconds: no round starts later; None: no limit. A round that runs is not cut short, and costs about as
            much as the one before it.
    """

    rounds: int = 3
    keep: int = 2
    minimum: int = 16
    errors: float = 2.0
    tolerance: float = 0.0
    seconds: Optional[float] = None


@dataclass(frozen=True)
class Standing:
    """A candidate after a round.

    Attributes:
        samples: that it has been measured on, over all rounds.
        score: on those; None: it crashed.
        behind: the leader's score less its own.
        error: standard error of `behind`, by sample in pairs; None with a single sample, which has none.
        dropped: why it went, in words; None: it goes on.
    """

    candidate: str
    samples: int
    score: Optional[float]
    behind: Optional[float] = None
    error: Optional[float] = None
    dropped: Optional[str] = None


@dataclass(frozen=True)
class Race(Generic[Candidate]):
    """What came out.

    Attributes:
        ranking: candidates that were not dropped, best first; equals in the order in which they were given.
        counts: of every candidate that was measured, by index of the sample. Those of the ranking see all
            samples if the race is complete.
        crashed: the reasons.
        rounds: the standings after each, best first, those that crashed last.
        stopped: why the race ended before all samples were seen; None: it is complete.
    """

    ranking: tuple[Candidate, ...]
    counts: Mapping[Candidate, Mapping[int, Counts]]
    crashed: Mapping[Candidate, str]
    rounds: tuple[tuple[Standing, ...], ...]
    stopped: Optional[str]

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, without the counts."""
        return {
            "ranking": [str(item) for item in self.ranking],
            "crashed": {str(item): reason for item, reason in self.crashed.items()},
            "rounds": [[asdict(standing) for standing in standings] for standings in self.rounds],
            "stopped": self.stopped,
        }


def race(
    candidates: Sequence[Candidate],
    samples: int,
    measure: Measure[Candidate],
    score: Score,
    rules: Rules = Rules(),
    clock: Callable[[], float] = time.monotonic,
) -> Race[Candidate]:
    """Find the best of `candidates` on `samples` samples without showing every sample to each.

    The record names a candidate by `str`.

    Args:
        measure: is asked once a round, for those still in the race and for samples that are new to them, so that it
            may measure them side by side, and keep what it measured for the next run.
        clock: seconds, for `rules.seconds`.
    """
    if len(set(candidates)) != len(candidates):
        raise ValueError("a candidate takes part twice")
    state = _State(list(candidates), score, rules)
    ends = math.inf if rules.seconds is None else clock() + rules.seconds
    plan = subsets(samples, rules.rounds, rules.minimum)
    stopped = None
    for number, fresh in enumerate(plan, 1):
        if not state.alive:
            stopped = "every candidate crashed"
            break
        if clock() >= ends:
            stopped = f"the budget of {rules.seconds:g} s is spent, after {number - 1} of {len(plan)} rounds"
            break
        state.play(measure(tuple(state.alive), fresh), fresh, last=number == len(plan))
    if not state.alive and candidates:
        stopped = "every candidate crashed"
    return Race(tuple(state.alive), state.counts, state.crashed, tuple(state.rounds), stopped)


def subsets(samples: int, rounds: int, minimum: int = 1) -> list[range]:
    """The samples that are new in each round: together all of them, in each round as many as before it.

    Each is spread evenly over the samples, since neighbours in a dataset are often alike.
    """
    if samples < 1 or rounds < 1:
        raise ValueError("a race needs a sample and a round")
    while rounds > 1 and samples >> (rounds - 1) < minimum:
        rounds -= 1
    step = 1 << (rounds - 1)
    return [range(0, samples, step)] + [
        range(step >> number, samples, step >> (number - 1)) for number in range(1, rounds)
    ]


def paired(one: Sequence[Counts], other: Sequence[Counts], score: Score) -> tuple[float, Optional[float]]:
    """`score(one) - score(other)` on the same samples, and its standard error; None with fewer than two samples.

    The jackknife's (Efron and Tibshirani, 1993, eq. 11.5): right for ratios of sums, as the metrics are, and as one
    sample's results come and go together, for results that are alike within a sample.
    """
    if len(one) != len(other):
        raise ValueError("pairs need the same samples")
    sums = total(one), total(other)
    difference = score(sums[0]) - score(sums[1])
    n = len(one)
    if n < 2:
        return difference, None
    without = [
        score(_less(sums[0], mine)) - score(_less(sums[1], theirs)) for mine, theirs in zip(one, other)
    ]
    mean = sum(without) / n
    return difference, math.sqrt((n - 1) / n * sum((value - mean) ** 2 for value in without))


def _less(whole: Counts, part: Counts) -> Counts:
    return Counts(whole.matched - part.matched, whole.predicted - part.predicted, whole.truth - part.truth)


class _State(Generic[Candidate]):
    """The race as it stands: who is in it, best first, and what is known."""

    def __init__(self, alive: list[Candidate], score: Score, rules: Rules) -> None:
        self.alive, self.score, self.rules = alive, score, rules
        self.order = {item: index for index, item in enumerate(alive)}
        self.counts: dict[Candidate, dict[int, Counts]] = {}
        self.crashed: dict[Candidate, str] = {}
        self.rounds: list[tuple[Standing, ...]] = []

    def play(self, outcomes: Sequence[Outcome], fresh: range, last: bool) -> None:
        """Take the outcomes of a round, rank, and drop the losers; nobody but the crashed in the last one."""
        before = list(self.alive)
        if len(outcomes) != len(before):
            raise ValueError("one outcome for each candidate")
        for item, outcome in zip(before, outcomes):
            self._enter(item, outcome, fresh)
        standings = self._rank(last)
        gone = [item for item in before if item in self.crashed]
        self.rounds.append((*standings, *map(self._fallen, gone)))

    def _enter(self, item: Candidate, outcome: Outcome, fresh: range) -> None:
        if isinstance(outcome, Crashed):
            self.crashed[item] = outcome.reason
            self.alive.remove(item)
            return
        if len(outcome) != len(fresh):
            raise ValueError("one result for each sample")
        self.counts.setdefault(item, {}).update(zip(fresh, outcome))

    def _rank(self, last: bool) -> list[Standing]:
        scores = {item: self.score(total(self.counts[item].values())) for item in self.alive}
        ranked = sorted(self.alive, key=lambda item: (-scores[item], self.order[item]))
        room = max(self.rules.keep, math.ceil(len(ranked) / 2))
        standings = []
        for place, item in enumerate(ranked):
            behind, error = paired(self._row(ranked[0]), self._row(item), self.score)
            reason = None if last or not place else self._reason(place, room, behind, error, ranked[0])
            name, seen = str(item), len(self.counts[item])
            standings.append(Standing(name, seen, scores[item], behind, error, reason))
        self.alive = [item for item, standing in zip(ranked, standings) if standing.dropped is None]
        return standings

    def _reason(
        self, place: int, room: int, behind: float, error: Optional[float], leader: Candidate
    ) -> Optional[str]:
        # The last digits of a sum are no difference.
        if error is not None and behind > max(self.rules.errors * error, self.rules.tolerance) + 1e-9:
            distance = f"{100 * behind:.2f} points behind {leader}"
            return f"{distance}, more than {self.rules.errors:g} standard errors of {100 * error:.2f}"
        if place >= room:
            return f"place {place + 1}, and the best {room} go on"
        return None

    def _row(self, item: Candidate) -> list[Counts]:
        # Everybody in the race has seen the same samples in the same order.
        return list(self.counts[item].values())

    def _fallen(self, item: Candidate) -> Standing:
        return Standing(
            str(item), len(self.counts.get(item, {})), None, dropped=f"crashed: {self.crashed[item]}"
        )
