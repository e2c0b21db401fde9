from __future__ import annotations

from collections.abc import Sequence

import pytest

from toolkit.tuning.final import Side, judge


def side(throughput: Sequence[float], p99: float = 500.0) -> Side:
    return Side(4, throughput, [100.0] * 90 + [p99])


DEFAULT = side([4.0, 4.2, 4.1])


def test_what_is_faster_at_the_same_bound_is_taken() -> None:
    verdict = judge(DEFAULT, side([4.4, 4.6, 4.5]), 1000, fixed=True)
    assert verdict.taken
    assert 1 < verdict.low < verdict.ratio
    assert verdict.ratio == pytest.approx(1.1, abs=0.01)


@pytest.mark.parametrize(
    "rates", [[3.9, 4.1, 4.0], [4.0, 4.2, 4.1], [4.04, 4.24, 4.14], [6.0, 4.0, 3.9], [4.4, 4.3, 4.2]]
)
def test_what_is_no_faster_or_in_one_round_alone_is_not(rates: list[float]) -> None:
    assert not judge(DEFAULT, side(rates), 1000, fixed=True).taken


def test_what_is_faster_and_beyond_the_bound_is_not() -> None:
    verdict = judge(DEFAULT, side([8.0] * 3, p99=1200), 1000, fixed=True)
    assert not verdict.taken
    assert "1200 ms is beyond 1000 ms" in verdict.reason


def test_what_is_within_the_bound_where_the_default_is_not_is_taken_though_slower() -> None:
    assert judge(side([4.0] * 3, p99=1200), side([3.0] * 3), 1000, fixed=True).taken


def test_a_hiccup_of_the_default_is_no_reason_to_take_what_is_slower() -> None:
    assert not judge(side([4.0] * 3, p99=1200), side([3.0] * 3), 1000, fixed=False).taken


def test_more_rounds_are_more_certain() -> None:
    rates, rival = [4.0, 4.0], [4.1, 4.3]
    assert not judge(side(rates), side(rival), 1000, fixed=True).taken
    verdict = judge(side(rates * 3), side(rival * 3), 1000, fixed=True)
    assert verdict.taken
    assert verdict.low == pytest.approx(1.0274, abs=0.001)
