from __future__ import annotations

import pytest

from toolkit.tuning.results import Bounds, Point, Result, pareto
from toolkit.tuning.space import Configuration


def point(throughput: float, p99: float, clients: int = 1) -> Point:
    return Point(clients, throughput, p99 / 2, p99, 100)


def result(name: int, *points: Point, memory: float = 1000, refused: str = "") -> Result:
    return Result(Configuration({"workers": name}), points, memory, refused)


SLOW, QUICK = point(5, 900, 4), point(3, 300)


def test_the_best_is_the_most_within_the_p99() -> None:
    found = result(1, QUICK, SLOW)
    assert Bounds(1000).best(found) == SLOW
    assert Bounds(500).best(found) == QUICK
    assert Bounds(200).best(found) is None


def test_what_takes_more_memory_than_the_limit_has_no_best() -> None:
    assert Bounds(1000, memory=999).best(result(1, SLOW)) is None
    assert Bounds(1000, memory=1000).best(result(1, SLOW)) == SLOW


def test_what_was_refused_has_no_best() -> None:
    assert Bounds(1000).best(result(1, SLOW, refused="other answers")) is None


def test_what_misses_a_bound_scores_less_by_as_much_as_it_misses_it() -> None:
    assert Bounds(1000).score(result(1, QUICK, SLOW)) == 5
    assert Bounds(450).score(result(1, SLOW)) == pytest.approx(2.5)
    assert Bounds(1000, memory=500).score(result(1, SLOW)) == pytest.approx(2.5)


def test_pareto_has_what_nothing_beats_in_both() -> None:
    first = result(1, point(2, 100), point(4, 400))
    second = result(2, point(3, 200), point(4, 500))
    third = result(3, point(6, 800))
    found = [
        (item.configuration.values["workers"], each.throughput)
        for item, each in pareto([first, second, third])
    ]
    assert found == [(1, 2), (2, 3), (1, 4), (3, 6)]


def test_of_two_with_the_same_p99_the_faster_one_is_kept() -> None:
    found = pareto([result(1, point(2, 100)), result(2, point(3, 100))])
    assert [each.throughput for _, each in found] == [3]


def test_a_result_survives_json() -> None:
    found = result(1, QUICK, SLOW)
    assert Result.from_json(found.to_json()) == found
