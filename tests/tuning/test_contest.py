"""The search within its budget, against a service that is an arithmetic expression."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import pytest

from tests.tuning import synthetic
from toolkit.errors import ServiceError
from toolkit.tuning import contest, space, trial
from toolkit.tuning.contest import Budget
from toolkit.tuning.journal import Journal
from toolkit.tuning.results import Bounds, Point, Result
from toolkit.tuning.space import Configuration
from toolkit.tuning.trial import Aim, Load

SPACE = space.of(synthetic.spec(), 2, ("release", "fp32"))
DEMAND = Load([b"image"], (1, 4), 0.0)


class Clock(Budget):
    """Time passes when something is measured."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.now = 0.0

    @property
    def spent(self) -> float:
        return self.now


class Bench:
    """What was asked of it, and how long that took: ten seconds each."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.asked: list[tuple[Configuration, Aim]] = []

    def __call__(self, configuration: Configuration, aim: Aim) -> Result:
        self.asked.append((configuration, aim))
        self.clock.now += 10
        return synthetic.measure(configuration)


def explored(
    tmp_path: Path, seconds: float = 3600, target: Optional[float] = None, memory: Optional[float] = None
) -> tuple[Bench, Journal, Bounds, list[str]]:
    clock = Clock(seconds)
    bench, journal = Bench(clock), Journal(tmp_path / "journal.jsonl", {})
    said: list[str] = []
    bounds = contest.explore(SPACE, journal, bench, target, memory, clock, said.append)
    return bench, journal, bounds, said


def test_without_a_target_the_bound_is_the_default_s_p99_where_it_answers_most(tmp_path: Path) -> None:
    bench, journal, bounds, _ = explored(tmp_path)
    most = journal.results[0].points[-1]
    assert bounds == Bounds(pytest.approx(1.1 * most.p99))
    assert bench.asked[0] == (SPACE.default, Aim(2))
    assert {(aim.clients, aim.p99) for _, aim in bench.asked[1:]} == {(most.clients, bounds.p99)}


def test_each_has_to_reach_what_the_best_so_far_does(tmp_path: Path) -> None:
    bench, journal, bounds, _ = explored(tmp_path)
    for number, (_, aim) in enumerate(bench.asked[1:], 1):
        within = [bounds.best(result) for result in journal.results[:number]]
        assert aim.throughput == max(point.throughput for point in within if point is not None)


def test_a_target_is_the_bound_from_the_first_phase_on(tmp_path: Path) -> None:
    bench, _, bounds, _ = explored(tmp_path, target=700, memory=1500)
    assert bounds == Bounds(700, 1500)
    assert bench.asked[0] == (SPACE.default, Aim(2, 700))


def test_a_part_of_the_budget_is_left_for_the_final(tmp_path: Path) -> None:
    bench, _, _, said = explored(tmp_path, seconds=100)
    assert len(bench.asked) == 7
    assert "no time" in said[-1]


def test_the_default_is_measured_however_small_the_budget(tmp_path: Path) -> None:
    bench, *_ = explored(tmp_path, seconds=1)
    assert [asked[0] for asked in bench.asked] == [SPACE.default]


def test_a_run_that_was_broken_off_measures_nothing_twice(tmp_path: Path) -> None:
    first, *_ = explored(tmp_path, seconds=100)
    second, journal, _, said = explored(tmp_path)
    both = [asked[0].key for asked in (*first.asked, *second.asked)]
    assert len(both) == len(set(both)) == len(journal.results)
    assert "hopeless" in said[-1]


def test_a_default_that_cannot_be_measured_ends_it(tmp_path: Path) -> None:
    def refuse(configuration: Configuration, *_: Any) -> Result:
        return Result(configuration, refused="it does not start")

    journal = Journal(tmp_path / "journal.jsonl", {})
    with pytest.raises(ServiceError, match="it does not start"):
        contest.explore(SPACE, journal, refuse, None, None, Budget(60), lambda _: None)
    assert journal.results == [], "the next run tries it again"


class Served:
    """A service of a configuration, as fast as the expression says, each answer after `slower` times as long."""

    slower = 1.0

    def __init__(self, configuration: Configuration) -> None:
        self._result = synthetic.measure(configuration)

    def phase(self, clients: int) -> tuple[Point, list[float]]:
        (point,) = (each for each in self._result.points if each.clients == clients)
        return point, [point.p99 * self.slower] * point.requests


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Configuration]:
    """Which services ran in the final."""
    found: list[Configuration] = []

    @contextmanager
    def running(scratch: Path, configuration: Configuration, *_: Any) -> Iterator[Served]:
        found.append(configuration)
        yield Served(configuration)

    monkeypatch.setattr(trial, "running", running)
    return found


def decided(tmp_path: Path, **options: Any) -> Optional[contest.Final]:
    _, journal, bounds, _ = explored(tmp_path, **options)
    fixed = options.get("target") is not None

    def render(*_: Any) -> None: ...

    return contest.decide(
        SPACE, journal.results, bounds, render, DEMAND, tmp_path, Budget(60), fixed, lambda _: None
    )


def test_the_best_of_the_search_meets_the_default_in_turn(
    started: list[Configuration], tmp_path: Path
) -> None:
    final = decided(tmp_path)
    assert final is not None
    best = max(SPACE.configurations, key=synthetic.speed)
    assert started == [SPACE.default, best]
    assert final.verdict.taken
    assert final.verdict.ratio == pytest.approx(synthetic.speed(best) / synthetic.speed(SPACE.default))
    assert len(final.best.throughput) >= 3


@pytest.mark.parametrize(
    ("slower", "target", "taken"), [(1.6, None, True), (3.0, None, False), (1.6, 1100, False)]
)
def test_a_bound_that_nobody_gave_bears_one_hiccup_of_the_default(
    started: list[Configuration],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    slower: float,
    target: Optional[float],
    taken: bool,
) -> None:
    """The default has one where the bound is its own p99 and a tenth; here everything is slower than in the search."""
    monkeypatch.setattr(Served, "slower", slower)
    final = decided(tmp_path, target=target)
    assert final is not None
    assert final.verdict.taken == taken


def test_where_nothing_was_better_nothing_is_measured_again(
    started: list[Configuration], tmp_path: Path
) -> None:
    assert decided(tmp_path, seconds=1) is None
    assert decided(tmp_path / "none", target=1.0) is None
    assert started == []


def test_only_what_is_within_the_memory_limit_comes_to_the_final(
    started: list[Configuration], tmp_path: Path
) -> None:
    final = decided(tmp_path, memory=1500)
    assert final is not None
    assert final.rival.configuration.values["replicas"] == 1
    assert final.verdict.taken, "the default takes more"
