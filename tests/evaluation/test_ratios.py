from __future__ import annotations

import numpy as np
import pytest

from toolkit.evaluation.metrics import Counts, Detections, total
from toolkit.evaluation.ratios import METRICS, MeanAveragePrecision

ONCE = np.ones((1, 1))
MAP = MeanAveragePrecision()


def found(*scored: tuple[float, bool], truth: int, name: int = 0) -> Detections:
    """One sample of one class: (score, right) of each detection, and how many labels there are."""
    scores, right = tuple(score for score, _ in scored), tuple((flag,) for _, flag in scored)
    return Detections((name,) * len(scored), scores, right, (name,) * truth)


@pytest.mark.parametrize("name", ["hmean", "recall", "precision"])
def test_a_metric_of_weighted_samples_is_that_of_the_samples_so_often(name: str) -> None:
    records = [Counts(6, 8, 12), Counts(1, 1, 4), Counts(0, 7, 3), Counts(0, 0, 0)]
    weights = np.array([[1, 1, 1, 1], [2, 0, 1, 0], [0, 0, 0, 3], [0, 0, 5, 0]], dtype=float)
    sets = [records, [records[0], records[0], records[2]], [records[3]] * 3, [records[2]] * 5]
    expected = [getattr(total(item), name) for item in sets]
    np.testing.assert_allclose(METRICS[name].values(records, weights), expected)


def test_one_result_changes_a_ratio_by_its_share() -> None:
    records = [Counts(6, 8, 12), Counts(1, 2, 8)]
    assert METRICS["recall"].step(records) == pytest.approx(1 / 20)
    assert METRICS["precision"].step(records) == pytest.approx(1 / 10)
    assert METRICS["hmean"].step(records) == pytest.approx(2 / 30)
    assert METRICS["recall"].step([Counts(0, 3, 0)]) == 1
    assert METRICS["recall"].truth(records) == 20


def test_average_precision_by_hand() -> None:
    # Precision 1 up to recall 1/3 (the recalls 0 to 0.33), 2/3 up to 2/3 (0.34 to 0.66), then none.
    sample = found((0.9, True), (0.8, False), (0.7, True), truth=3)
    assert MAP.values([sample], ONCE)[0] == pytest.approx((34 * 1 + 33 * 2 / 3) / 101)


def test_a_better_precision_at_a_higher_recall_counts_for_the_lower_ones() -> None:
    sample = found((0.9, False), (0.8, True), (0.7, True), truth=2)
    assert MAP.values([sample], ONCE)[0] == pytest.approx(2 / 3)


def test_all_found_and_nothing_else_is_one() -> None:
    assert MAP.values([found((0.2, True), (0.1, True), truth=2)], ONCE)[0] == pytest.approx(1)


def test_detections_of_all_samples_rank_together() -> None:
    # The wrong one of the second sample is surer than the right one of the first.
    sure, unsure = found((0.9, False), truth=0), found((0.5, True), truth=1)
    assert MAP.values([unsure, sure], np.ones((1, 2)))[0] == pytest.approx(0.5)


def test_classes_count_alike_and_those_without_truth_not_at_all() -> None:
    rare, common = found((0.9, True), truth=1, name=7), found((0.9, False), truth=9, name=2)
    unknown = found((0.99, False), truth=0, name=5)
    assert MAP.values([rare, common, unknown], np.ones((1, 3)))[0] == pytest.approx(0.5)
    assert MAP.step([rare, common]) == pytest.approx(0.1)
    assert MAP.truth([rare, common, unknown]) == 10


def test_a_class_that_is_not_drawn_does_not_count() -> None:
    rare, common = found((0.9, True), truth=1, name=7), found((0.9, False), truth=9, name=2)
    drawn = MAP.values([rare, common], np.array([[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]]))
    np.testing.assert_allclose(drawn, [1, 0, 0])


def test_thresholds_are_averaged() -> None:
    sample = Detections((0,), (0.9,), ((True, False, False, False),), (0,))
    assert MAP.values([sample], ONCE)[0] == pytest.approx(0.25)


def test_samples_drawn_twice_are_samples_that_are_there_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    records = [
        Detections(
            tuple(int(name) for name in random.integers(0, 3, 6)),
            tuple(float(score) for score in random.random(6)),
            tuple((bool(first), bool(first and second)) for first, second in random.random((6, 2)) < 0.6),
            tuple(int(name) for name in random.integers(0, 3, 8)),
        )
        for _ in range(5)
    ]
    weights = random.multinomial(5, np.full(5, 0.2), size=20).astype(float)
    expected = [
        MAP.values(drawn, np.ones((1, 5)))[0]
        for row in weights
        for drawn in [[item for item, times in zip(records, row) for _ in range(int(times))]]
    ]
    np.testing.assert_allclose(MAP.values(records, weights), expected)
    monkeypatch.setattr("toolkit.evaluation.ratios._CHUNK", 100)
    np.testing.assert_allclose(MAP.values(records, weights), expected)


def test_without_detections_or_without_truth_it_is_zero() -> None:
    assert MAP.values([found(truth=3)], ONCE)[0] == 0
    assert MAP.values([found((0.9, False), truth=0)], ONCE)[0] == 0
    assert MAP.step([found(truth=0)]) == 1
