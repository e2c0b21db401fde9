from __future__ import annotations

import pytest

from toolkit.errors import DataError
from toolkit.evaluation import gate
from toolkit.evaluation.gate import Candidate, Judgement
from toolkit.evaluation.metrics import Counts


def lines(*right: int, of: int = 10) -> tuple[Counts, ...]:
    """Samples of `of` lines each, of which so many are right."""
    return tuple(Counts(number, of, of) for number in right)


def judged(
    before: tuple[Counts, ...], after: tuple[Counts, ...], limit: float, metric: str = "recall"
) -> Judgement:
    return gate.judge(Candidate("native", before), Candidate("int8", after), metric, limit)


def test_a_drop_under_the_limit_passes() -> None:
    judgement = judged(lines(10, 10), lines(10, 9), 5.1)
    assert judgement.passed
    assert (judgement.metric, judgement.drop) == (pytest.approx(0.95), pytest.approx(5))
    assert judgement.reason == "loses 5.00 points, limit 5.1"


def test_a_drop_of_exactly_the_limit_fails() -> None:
    judgement = judged(lines(10, 10), lines(10, 9), 5)
    assert not judgement.passed
    assert judgement.reason == "loses 5.00 points, must be under 5"


def test_a_drop_of_exactly_half_a_point_fails_whatever_the_figures() -> None:
    # 1,000 lines: 0.5 points are five of them. In floating point the drop may come out a hair below.
    figures = range(5, 1001)
    assert [n for n in figures if judged(lines(n, of=1000), lines(n - 5, of=1000), 0.5).passed] == []
    assert [n for n in figures if not judged(lines(n, of=1000), lines(n - 4, of=1000), 0.5).passed] == []


def test_a_gain_passes_and_says_so() -> None:
    judgement = judged(lines(8, 8), lines(9, 9), 0.5)
    assert judgement.passed
    assert judgement.drop == pytest.approx(-10)
    assert judgement.reason == "gains 10.00 points, limit 0.5"


def test_no_change_passes() -> None:
    judgement = judged(lines(8, 9), lines(9, 8), 0.5)
    assert judgement.passed
    assert judgement.reason == "loses nothing, limit 0.5"
    assert (judgement.better, judgement.worse) == (1, 1)


def test_better_and_worse_count_samples() -> None:
    judgement = judged(lines(5, 5, 5, 5), lines(9, 4, 3, 5), 50)
    assert (judgement.better, judgement.worse) == (1, 2)


def test_the_metric_that_is_asked_for_decides() -> None:
    before, after = (Counts(8, 10, 10),), (Counts(8, 16, 10),)
    assert judged(before, after, 0.5, "recall").passed
    assert not judged(before, after, 0.5, "precision").passed
    assert judged(before, after, 50, "hmean").metric == pytest.approx(16 / 26)


def test_a_candidate_that_did_not_run_fails_with_the_reason() -> None:
    crashed = Candidate("int8", None, problem="was killed by SIGSEGV")
    judgement = gate.judge(Candidate("native", lines(9)), crashed, "recall", 0.5)
    assert not judgement.passed
    assert judgement.metric is None
    assert judgement.reason == "did not run: was killed by SIGSEGV"
    assert judgement.to_json()["drop"] is None


def test_the_proof_of_the_kernels_is_handed_on() -> None:
    candidate = Candidate("int8", lines(9), kernels="41 of 53 convolutions ran INT8")
    assert gate.judge(Candidate("native", lines(9)), candidate, "recall", 1).kernels.startswith("41 of 53")


def test_data_without_truth_judges_nobody() -> None:
    nothing = (Counts(0, 3, 0), Counts(0, 0, 0))
    with pytest.raises(DataError, match="no legible line"):
        judged(nothing, nothing, 0.5)


def test_a_reference_that_was_not_measured_judges_nobody() -> None:
    with pytest.raises(ValueError, match="reference"):
        gate.judge(Candidate("native", None), Candidate("int8", lines(9)), "recall", 0.5)


def test_samples_that_were_not_measured_alike_are_not_compared() -> None:
    with pytest.raises(ValueError, match="samples"):
        judged(lines(9, 9), lines(9), 0.5)


def test_the_first_that_passed_is_chosen_not_the_best() -> None:
    failed, good, better = (
        Judgement("int8", 0.7, 9.0, 0, 9, False, ""),
        Judgement("bf16", 0.8, 0.4, 0, 0, True, ""),
        Judgement("fp32", 0.9, 0.0, 0, 0, True, ""),
    )
    assert gate.choose([failed, good, better]) is good
    assert gate.choose([better, good]) is better
    assert gate.choose([failed]) is None
    assert gate.choose([]) is None
