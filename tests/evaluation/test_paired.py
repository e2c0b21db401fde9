from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from toolkit.evaluation import paired
from toolkit.evaluation.metrics import Counts, Detections
from toolkit.evaluation.paired import Difference
from toolkit.evaluation.ratios import METRICS, MeanAveragePrecision

RECALL = METRICS["recall"]
LIMIT = 0.5
SIZES = (16, 30, 60, 110)
Runs = tuple[list[Counts], list[Counts]]


def lines(*right: int, of: int = 100) -> list[Counts]:
    """Samples of `of` lines each, of which so many are right."""
    return [Counts(number, of, of) for number in right]


def difference(**values: Any) -> Difference:
    plain = {"reference": 0.9, "candidate": 0.9, "samples": 30, "better": 0, "worse": 0}
    return Difference(**{**plain, "confidence": 0.95, "relative": False, **values})


def test_bounds_of_two_samples_by_hand() -> None:
    # Without the first sample the drop is 2 points, without the second 0: a standard error of 1. Two lines of 200 are
    # another point, in the square. The quantile of Student's t with one degree of freedom is 6.3138.
    result = paired.compare(lines(90, 90), lines(90, 88), RECALL)
    assert (result.reference, result.candidate) == (pytest.approx(0.9), pytest.approx(0.89))
    assert result.drop == pytest.approx(1)
    assert result.upper == pytest.approx(1 + 6.3138 * 2**0.5, abs=1e-3)
    assert result.lower == pytest.approx(1 - 6.3138 * 2**0.5, abs=1e-3)
    assert (result.samples, result.better, result.worse) == (2, 0, 1)


def test_equal_runs_prove_no_more_than_their_size_allows() -> None:
    # By hand: t times two results; of 40 samples 1.6849 * 2 / 4000 lines.
    few, many = (paired.compare(run, run, RECALL) for run in (lines(*[90] * 2), lines(*[90] * 40)))
    assert (few.drop, few.lower, few.upper) == (
        0,
        pytest.approx(-6.3138, abs=1e-3),
        pytest.approx(6.3138, abs=1e-3),
    )
    assert many.upper == pytest.approx(1.6849 * 2 / 40, abs=1e-3)
    assert (many.better, many.worse) == (0, 0)


def test_one_sample_proves_nothing() -> None:
    result = paired.compare(lines(90), lines(90), RECALL)
    assert (result.drop, result.lower, result.upper) == (0, -100, 100)
    assert result.needed(LIMIT) is None


def test_without_truth_the_drop_is_zero_and_the_bounds_are_everything() -> None:
    nothing = [Counts(0, 3, 0), Counts(0, 0, 0)]
    result = paired.compare(nothing, nothing, RECALL)
    assert (result.reference, result.drop, result.lower, result.upper) == (0, 0, -100, 100)


def test_the_bounds_of_points_lie_around_the_drop_and_those_of_more_confidence_further() -> None:
    runs = pages(np.random.default_rng(1), 60, 0.01)
    results = [paired.compare(*runs, RECALL, confidence) for confidence in (0.8, 0.95, 0.99)]
    assert len({item.drop for item in results}) == 1
    for near, far in zip(results, results[1:]):
        assert far.lower < near.lower < near.drop < near.upper < far.upper


def test_who_lost_and_who_won_are_mirror_images() -> None:
    first, second = pages(np.random.default_rng(2), 40, 0.01)
    there, back = paired.compare(first, second, RECALL), paired.compare(second, first, RECALL)
    assert back.drop == pytest.approx(-there.drop)
    assert (back.lower, back.upper) == (pytest.approx(-there.upper), pytest.approx(-there.lower))
    assert (back.better, back.worse) == (there.worse, there.better)


def test_samples_are_drawn_whole() -> None:
    # The same 16 lines lost, on sixteen pages or on one: there the bound is much further.
    spread = paired.compare(lines(*[90] * 32), lines(*[89, 90] * 16), RECALL)
    heap = paired.compare(lines(*[90] * 32), lines(74, *[90] * 31), RECALL)
    assert spread.drop == heap.drop == pytest.approx(0.5)
    assert spread.upper < 0.8
    assert heap.upper > 1.3


def test_a_relative_drop_is_of_the_reference() -> None:
    before, after = lines(*[50] * 20), lines(*[49] * 20)
    points = paired.compare(before, after, RECALL)
    share = paired.compare(before, after, RECALL, relative=True)
    assert (points.drop, share.drop) == (pytest.approx(1), pytest.approx(2))
    # All samples lose alike, so that only the two unseen results widen the bound: by twice as much of the half.
    assert share.upper - share.drop == pytest.approx(2 * (points.upper - points.drop))


def test_the_relative_drop_of_a_reference_that_has_nothing_right_is_zero() -> None:
    assert paired.compare(lines(0, 0), lines(1, 2), RECALL, relative=True).drop == 0


@pytest.mark.parametrize(
    ("drop", "lower", "upper", "needed"),
    [
        (0.2, -0.2, 0.6, 54),  # 0.4 of reach, 0.3 of margin: 30 * 16 / 9
        (0.75, 0.25, 1.25, 120),  # 0.5 of reach, 0.25 of margin, to prove that it fails: 30 * 4
        (0.0, -0.49, 0.49, None),  # passed
        (1.0, 0.5, 1.5, None),  # failed
        (0.4999, 0.1, 0.9, None),  # nobody has so many samples
        (0.5, 0.1, 0.9, None),
        (0.0, -0.5, 0.5, 31),  # nearly decided
    ],
)
def test_samples_that_would_decide(drop: float, lower: float, upper: float, needed: int) -> None:
    assert difference(drop=drop, lower=lower, upper=upper).needed(LIMIT) == needed


def test_a_comparison_comes_out_alike_each_time_and_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = pages(np.random.default_rng(4), 50, 0.01)
    once = paired.compare(*runs, RECALL)
    assert paired.compare(*runs, RECALL) == once
    monkeypatch.setattr(paired, "_CHUNK", 700)
    assert paired.compare(*runs, RECALL) == once


def test_mean_average_precision_is_compared_like_counts() -> None:
    good = Detections((0, 0), (0.9, 0.8), ((True,), (True,)), (0, 0))
    bad = Detections((0, 0), (0.9, 0.8), ((False,), (True,)), (0, 0))
    result = paired.compare([good] * 40, [good] * 30 + [bad] * 10, MeanAveragePrecision())
    assert result.reference == pytest.approx(1)
    assert 0 < result.lower < result.drop < result.upper
    assert (result.better, result.worse) == (0, 10)


@pytest.mark.parametrize(("first", "second"), [((9, 9), (9,)), ((), ())])
def test_runs_on_other_samples_are_not_compared(first: Sequence[int], second: Sequence[int]) -> None:
    with pytest.raises(ValueError, match="samples"):
        paired.compare(lines(*first), lines(*second), RECALL)


@pytest.mark.parametrize("confidence", [0.5, 1.0, 95])
def test_a_confidence_that_is_none_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        paired.compare(lines(9, 9), lines(9, 9), RECALL, confidence)


@pytest.mark.parametrize(
    ("confidence", "freedom", "expected"),
    [
        (0.95, 1, 6.3138),
        (0.95, 2, 2.9200),
        (0.95, 15, 1.7531),
        (0.99, 10, 2.7638),
        (0.9, 3, 1.6377),
        (0.95, 120, 1.6577),
    ],
)
def test_students_quantiles_are_those_of_the_tables(confidence: float, freedom: int, expected: float) -> None:
    assert paired._student(confidence, freedom) == pytest.approx(expected, abs=1e-4)


def test_110_samples_take_under_a_third_of_a_second() -> None:
    runs = pages(np.random.default_rng(5), 110, 0.01)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        paired.compare(*runs, RECALL)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.3


# The gate's calibration. Pages of 10 to 50 lines, 85 % of them right. On a page each right line is lost with a
# probability that differs from page to page (gamma, shape 0.5: INT8 on real receipts is about as uneven), and each
# wrong one won likewise, so that of all lines 1 % are won, and 1 % and the planted drop are lost.


def pages(
    random: np.random.Generator, count: int, drop: float, won: float = 0.01, shape: float = 0.5
) -> Runs:
    """A reference and a candidate whose true drop in recall is `drop`."""
    size = random.integers(10, 51, count)
    right = random.binomial(size, random.beta(8.5, 1.5, count))
    uneven = random.gamma(shape, 1 / shape, (2, count))
    less = random.binomial(right, np.clip((drop + won) / 0.85 * uneven[0], 0, 1))
    more = random.binomial(size - right, np.clip(won / 0.15 * uneven[1], 0, 1))
    return (
        [Counts(int(hit), int(every), int(every)) for hit, every in zip(right, size)],
        [Counts(int(hit), int(every), int(every)) for hit, every in zip(right - less + more, size)],
    )


def rates(count: int, drop: float, times: int = 200, won: float = 0.01) -> tuple[float, float]:
    """How often a planted drop (in 0..1) of `count` pages passes, and how often it fails, at 95 %."""
    random = np.random.default_rng([count, int(drop * 10_000)])
    results = [paired.compare(*pages(random, count, drop, won), RECALL, draws=1000) for _ in range(times)]
    passed = sum(item.upper < LIMIT for item in results)
    return passed / times, sum(item.lower >= LIMIT for item in results) / times


@pytest.mark.parametrize("count", SIZES)
def test_without_a_drop_at_most_five_in_a_hundred_fail(count: int) -> None:
    assert rates(count, 0)[1] <= 0.05


@pytest.mark.parametrize("won", [0.0, 0.01])
@pytest.mark.parametrize("count", SIZES)
def test_a_drop_of_a_point_passes_at_most_five_times_in_a_hundred(count: int, won: float) -> None:
    assert rates(count, 0.01, won=won)[0] <= 0.05


def test_a_drop_of_exactly_the_limit_passes_and_fails_about_five_times_in_a_hundred() -> None:
    # The hardest case, over all sizes: with 800 draws a rate of 0.05 comes out under 0.07 in 99 of 100 simulations.
    passed, failed = np.mean([rates(count, LIMIT / 100) for count in SIZES], axis=0)
    assert passed < 0.07
    assert failed < 0.07


def test_the_gate_decides_what_can_be_decided() -> None:
    assert rates(110, 0, times=100)[0] > 0.3
    assert rates(110, 0.03, times=100)[1] > 0.9
