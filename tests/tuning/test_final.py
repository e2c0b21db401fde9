from __future__ import annotations

from collections.abc import Sequence

import pytest

from toolkit.tuning.final import Side, judge


def side(throughput: Sequence[float], p99: float = 500.0) -> Side:
    return Side(4, throughput, [100.0] * 90 + [p99])


DEFAULT = side([4.0, 4.2, 4.1])


def test_what_is_faster_at_the_same_bound_is_taken() -> None:
    verdict = judge(DEFAULT, side([4.4, 4.6, 4.5]), 1000)
    assert verdict.taken
    assert 1 < verdict.low < verdict.ratio
    assert verdict.ratio == pytest.approx(1.1, abs=0.01)


@pytest.mark.parametrize("rates", [[3.9, 4.1, 4.0], [4.0, 4.2, 4.1], [4.04, 4.24, 4.14], [6.0, 4.0, 3.9]])
def test_what_is_no_faster_or_in_one_round_alone_is_not(rates: list[float]) -> None:
    assert not judge(DEFAULT, side(rates), 1000).taken


def test_what_is_faster_and_beyond_the_bound_is_not() -> None:
    verdict = judge(DEFAULT, side([8.0] * 3, p99=1200), 1000)
    assert not verdict.taken
    assert "1200 ms is beyond 1000 ms" in verdict.reason


def test_what_is_within_the_bound_where_the_default_is_not_is_taken_though_slower() -> None:
    assert judge(side([4.0] * 3, p99=1200), side([3.0] * 3), 1000).taken
