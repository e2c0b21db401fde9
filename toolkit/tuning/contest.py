"""The search within its budget, and then the final between the default and the best that was found."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Optional

from toolkit.errors import ServiceError
from toolkit.tuning import final, search, trial
from toolkit.tuning.final import Side, Verdict
from toolkit.tuning.journal import Journal
from toolkit.tuning.results import Bounds, Point, Result
from toolkit.tuning.space import Configuration, Space
from toolkit.tuning.trial import Aim, Load, Renderer, Running

Measure = Callable[[Configuration, Aim], Result]
Say = Callable[[str], None]

# Of the budget, for the final.
_FINAL_SHARE = 0.3
_ROUNDS, _MOST_ROUNDS = 3, 7

# Without a target the default's own p99 is the bound, and so much more: what that repeats to.
_SLACK = 1.1

# So much beyond that bound may the default's own p99 be in the final, which is one slow request's work.
_HICCUP = 1.25


@dataclass(frozen=True)
class Final:
    """How it ended; see `final`."""

    rival: Result
    default: Side
    best: Side
    verdict: Verdict

    def but(self, refusal: Optional[str]) -> Final:
        """The same, and the rival not taken where something is against it."""
        if refusal is None:
            return self
        reason = f"{refusal}; {self.verdict.reason}"
        return replace(self, verdict=replace(self.verdict, taken=False, reason=reason))


class Budget:
    """Seconds from now on."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._began = time.monotonic()

    @property
    def spent(self) -> float:
        """Seconds since then."""
        return time.monotonic() - self._began

    def bears(self, seconds: float, keep: float = 0.0) -> bool:
        """Whether there is time for this, if a share `keep` of all is to be left."""
        return self.spent + seconds <= self.seconds * (1 - keep)


def explore(
    space: Space,
    journal: Journal,
    measure: Measure,
    target: Optional[float],
    memory: Optional[float],
    budget: Budget,
    say: Say,
) -> Bounds:
    """Measure one configuration after the other into the journal, until nothing hopeful is left or time is up.

    Args:
        target: p99 in milliseconds; None: that of the default where it answers most.
        memory: megabytes; None: no limit.

    Returns:
        The bounds.

    Raises:
        ServiceError: the default itself does not start, or answers other than it should.
    """
    if not journal.results:
        first = measure(space.default, Aim(int(space.default.values["replicas"]), target))
        if first.refused:
            raise ServiceError(
                f"the configuration of the spec cannot be measured: {first.refused}",
                remedy="`make deploy` and `make smoke` say whether it can be served at all",
            )
        journal.add(first)
        say(f"1 of {len(space.configurations)}: {told(first, space, _bounds(first, target, memory))}")
    default = journal.results[0]
    bounds = _bounds(default, target, memory)
    while (wanted := search.following(space, journal.results, bounds)) is not None:
        if not budget.bears(max(result.seconds for result in journal.results), keep=_FINAL_SHARE):
            break
        result = measure(wanted, _aim(journal.results, bounds))
        journal.add(result)
        say(f"{len(journal.results)} of {len(space.configurations)}: {told(result, space, bounds)}")
    left = len(space.configurations) - len(journal.results)
    why = "the rest is hopeless" if wanted is None else "there is no time for the rest, BUDGET= gives more"
    say(f"{len(journal.results)} measured, {left} not: {why}")
    return bounds


def _aim(results: Sequence[Result], bounds: Bounds) -> Aim:
    """To begin where the default is best, and to reach what the best does."""
    leader = search.best(results, bounds)
    most = _point(leader, bounds).throughput if leader else 0.0
    return Aim(_point(results[0], bounds).clients, bounds.p99, most)


def _bounds(default: Result, target: Optional[float], memory: Optional[float]) -> Bounds:
    if target is not None:
        return Bounds(target, memory)
    most = max(default.points, key=lambda point: point.throughput)
    return Bounds(_SLACK * most.p99, memory)


def decide(
    space: Space,
    results: Sequence[Result],
    bounds: Bounds,
    render: Renderer,
    demand: Load,
    scratch: Path,
    budget: Budget,
    fixed: bool,
    say: Say,
) -> Optional[Final]:
    """The default and the best in turn, both running; None: there is nothing that could be better.

    Args:
        results: the default's first.
        fixed: the bound of the p99 is the user's; else it follows what the default takes in the final, within limits.

    Raises:
        ServiceError, SmokeError: one of the two does not start, or errs.
    """
    rival = search.best(results, bounds)
    if rival is None or rival.configuration.key == space.default.key:
        return None
    clients = [_point(each, bounds).clients for each in (results[0], rival)]
    say(f"the default against {described(rival.configuration, space)}, in turn")
    with (
        trial.running(scratch / "default", space.default, render, demand) as first,
        trial.running(scratch / "best", rival.configuration, render, demand) as second,
    ):
        sides = _in_turn([first, second], clients, budget, say)
    bound = bounds.p99 if fixed else max(bounds.p99, min(sides[0].p99, _HICCUP * bounds.p99))
    too_large = bounds.memory is not None and results[0].memory > bounds.memory
    return Final(rival, sides[0], sides[1], final.judge(sides[0], sides[1], bound, fixed, too_large))


def _point(result: Result, bounds: Bounds) -> Point:
    """Where it answers most within the bounds; where nothing is, where it answers quickest."""
    return bounds.best(result) or min(result.points, key=lambda point: point.p99)


def _in_turn(services: Sequence[Running], clients: Sequence[int], budget: Budget, say: Say) -> list[Side]:
    rates: list[list[float]] = [[], []]
    times: list[list[float]] = [[], []]
    longest = 0.0
    for number in range(_MOST_ROUNDS):
        before = budget.spent
        if number >= _ROUNDS and not budget.bears(longest):
            break
        # Whatever comes second finds another machine: they change places.
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            point, milliseconds = services[side].phase(clients[side])
            rates[side].append(point.throughput)
            times[side].extend(milliseconds)
        longest = max(longest, budget.spent - before)
        say(f"round {number + 1}: {rates[0][-1]:.2f} and {rates[1][-1]:.2f} a second")
    return [Side(*each) for each in zip(clients, rates, times)]


def described(configuration: Configuration, space: Space) -> str:
    """In what it is not the default."""
    beside = configuration.beside(space.default)
    return ", ".join(f"{name} {value}" for name, value in beside.items()) or "the default"


def told(result: Result, space: Space, bounds: Bounds) -> str:
    """A result in a line."""
    name = described(result.configuration, space)
    if result.refused:
        return f"{name}: refused: {result.refused.splitlines()[0]}"
    point = bounds.best(result)
    shown = point or _point(result, bounds)
    return (
        f"{name}: {shown.throughput:.2f} a second, p99 {shown.p99:.0f} ms with {shown.clients} clients, "
        f"{result.memory:.0f} MB{'' if point else ': beyond the bounds'}"
    )
