from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from toolkit.evaluation.agreement import Difference
from toolkit.gateway import metrics
from toolkit.supervisor import analysis
from toolkit.supervisor.analysis import (
    ERRORS,
    FAILURE,
    INCONCLUSIVE,
    LATENCY,
    SUCCESS,
    Measurement,
    answers,
    errors,
    latency,
    together,
)

MINIMUM = 30


def tail(failed: int, requests: int, share: float) -> float:
    """How likely at least so many fail."""
    return sum(
        math.comb(requests, k) * share**k * (1 - share) ** (requests - k) for k in range(failed, requests + 1)
    )


def differences(seed: int, rate: float, count: int) -> list[Difference]:
    """Pages of which some parts differ, a few wholly: those of one page go together."""
    random = np.random.default_rng(seed)
    lines = 1 + random.geometric(1 / 15, count)
    wrong = random.binomial(lines, random.beta(0.3, 0.3 * (1 - rate) / rate, count))
    return [Difference(20.0 * int(bad), 20.0 * int(all_)) for bad, all_ in zip(wrong, lines)]


def shares(results: Iterator[Measurement]) -> dict[str, float]:
    """How often each result is among them."""
    found = [item.result for item in results]
    return {name: found.count(name) / len(found) for name in metrics.RESULTS}


# ------------------------------------------------------------------------------------------------------- errors


def test_the_bound_of_errors_is_that_below_which_so_many_would_be_chance() -> None:
    for failed, requests in ((1, 1), (1, 40), (7, 100), (100, 100), (30, 900)):
        found = errors(failed, requests, limit=0.5, minimum=1)
        assert found.bound is not None
        assert tail(failed, requests, found.bound) == pytest.approx(0.05, rel=1e-6)
        assert found.value == failed / requests


def test_errors_within_the_limit_are_a_success_once_there_are_enough_requests() -> None:
    assert [errors(0, count, 0.01, MINIMUM).result for count in (29, 30)] == [INCONCLUSIVE, SUCCESS]
    assert errors(1, 100, 0.01, MINIMUM).result == SUCCESS
    assert errors(2, 100, 0.01, MINIMUM).result == INCONCLUSIVE, "chance in more than one case in twenty"
    assert errors(4, 100, 0.01, MINIMUM).result == FAILURE


def test_a_release_that_fails_everything_is_found_before_there_are_enough_requests() -> None:
    assert errors(3, 3, 0.01, MINIMUM).result == FAILURE


def test_with_a_limit_of_zero_one_error_is_a_failure() -> None:
    assert errors(1, 100_000, 0.0, MINIMUM).result == FAILURE
    assert errors(0, 30, 0.0, MINIMUM).result == SUCCESS


@pytest.mark.parametrize("requests", [5, 30, 60, 300])
@pytest.mark.parametrize("limit", [0.01, 0.05, 0.3])
def test_errors_at_the_limit_fail_one_analysis_in_twenty_at_most(requests: int, limit: float) -> None:
    first = next(k for k in range(requests + 1) if errors(k, requests, limit, 1).result == FAILURE)
    assert tail(first, requests, limit) <= 0.05
    assert tail(first - 1, requests, limit) > 0.05, "no more careful than it has to be"


def test_more_errors_than_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="2 of 1 requests"):
        errors(2, 1, 0.01, MINIMUM)


# ------------------------------------------------------------------------------------------------------ latency


def test_the_bound_of_the_median_is_an_order_statistic() -> None:
    """The ranks of the sign test's table, one-sided at 5 %; there is none for fewer than five."""
    ranks = {4: None, 5: 1, 8: 2, 10: 2, 20: 6, 30: 11, 100: 42}
    for count, rank in ranks.items():
        found = latency([float(k + 1) for k in reversed(range(count))], 1000.0, MINIMUM)
        assert (found.bound, found.value) == (rank, (count + 1) / 2)


def test_a_release_that_takes_twice_as_long_fails_and_one_as_fast_succeeds() -> None:
    random = np.random.default_rng(7)
    ratios = random.lognormal(0.0, 0.5, 60)
    assert latency(list(2 * ratios), 1.5, MINIMUM).result == FAILURE
    assert latency(list(ratios), 1.5, MINIMUM).result == SUCCESS
    assert latency(list(ratios[:29]), 1.5, MINIMUM).result == INCONCLUSIVE


def test_one_request_that_took_very_long_is_no_failure() -> None:
    assert latency([1.0] * 40 + [1e6] * 5, 1.5, MINIMUM).result == SUCCESS


@pytest.mark.parametrize("count", [8, 30, 61])
def test_a_median_at_the_limit_fails_one_analysis_in_twenty_at_most(count: int) -> None:
    random = np.random.default_rng(count)
    draws = (latency(list(1.5 * random.lognormal(0.0, 0.8, count)), 1.5, MINIMUM) for _ in range(2000))
    assert 0.01 < shares(draws)[FAILURE] <= 0.06


# ------------------------------------------------------------------------------------------------------ answers


def test_what_differs_is_a_ratio_of_sums() -> None:
    found = answers([Difference(1, 10), *[Difference(0, 30)] * 3], 0.02, MINIMUM)
    assert (found.value, found.count, found.result) == (0.01, 4, INCONCLUSIVE)
    assert found.bound == 0.0


def test_answers_that_agree_are_a_success_once_there_are_enough() -> None:
    same = [Difference(0, 400)] * 30
    assert answers(same, 0.0, MINIMUM).result == SUCCESS
    assert answers(same[1:], 0.0, MINIMUM).result == INCONCLUSIVE


def test_answers_that_differ_wholly_are_found_before_there_are_enough() -> None:
    assert answers([Difference(400, 400)] * 10, 0.02, MINIMUM).result == FAILURE


def test_answers_at_the_limit_fail_one_analysis_in_twenty_at_most() -> None:
    for limit, count in ((0.02, 60), (0.1, 30)):
        draws = (answers(differences(seed, limit, count), limit, MINIMUM) for seed in range(100))
        assert shares(draws)[FAILURE] <= 0.08


def test_answers_that_differ_clearly_more_than_the_limit_are_found_with_sixty() -> None:
    draws = (answers(differences(seed, 0.12, 60), 0.02, MINIMUM) for seed in range(40))
    found = shares(draws)
    assert found[FAILURE] >= 0.9
    assert found[SUCCESS] == 0


# ---------------------------------------------------------------------------------------------------- altogether


def test_without_requests_nothing_is_known() -> None:
    for found in (errors(0, 0, 0.01, 1), latency([], 1.5, 1), answers([], 0.01, 1)):
        assert (found.result, found.value, found.bound, found.count) == (INCONCLUSIVE, None, None, 0)
        assert found.text == f"{found.name}: no requests yet"


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([SUCCESS, SUCCESS, SUCCESS], SUCCESS),
        ([SUCCESS, INCONCLUSIVE], INCONCLUSIVE),
        ([INCONCLUSIVE, SUCCESS, FAILURE], FAILURE),
        ([], INCONCLUSIVE),
    ],
)
def test_one_failure_is_a_failure_of_all_and_all_must_succeed(results: list[str], expected: str) -> None:
    assert together([Measurement(ERRORS, result, 0.0, 0.0, 0.1, 9) for result in results]) == expected


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (
            Measurement(analysis.ANSWERS, FAILURE, 0.071, 0.042, 0.019, 64),
            "answers differ by 7.1 % (at least 4.2 %, 95 % sure) over 64 requests; limit 1.9 %",
        ),
        (
            Measurement(LATENCY, FAILURE, 1.6249, 1.55, 1.5, 64),
            "latency is 1.62 times the other's (at least 1.55 times, 95 % sure) over 64 requests; limit 1.5 times",
        ),
        (
            Measurement(LATENCY, INCONCLUSIVE, 2.0, None, 1.5, 1),
            "latency is 2 times the other's over 1 request; limit 1.5 times",
        ),
        (
            Measurement(ERRORS, INCONCLUSIVE, 0.0, 0.0, 0.01, 12),
            "errors are 0 % over 12 requests; limit 1 %; too few to tell",
        ),
        (Measurement(ERRORS, SUCCESS, 0.0, 0.0, 0.01, 30), "errors are 0 % over 30 requests; limit 1 %"),
        (
            Measurement(ERRORS, FAILURE, 1.0, 0.95, 0.01, 60),
            "errors are 100 % (at least 95 %, 95 % sure) over 60 requests; limit 1 %",
        ),
    ],
)
def test_a_measurement_is_told_in_words(found: Measurement, text: str) -> None:
    assert found.text == text


def test_measurements_and_results_are_those_that_are_counted() -> None:
    assert (analysis.ERRORS, analysis.LATENCY, analysis.ANSWERS) == metrics.MEASUREMENTS
    assert (SUCCESS, FAILURE, INCONCLUSIVE) == metrics.RESULTS


def test_a_measurement_is_recorded_with_all_that_is_known() -> None:
    assert errors(0, 40, 0.01, MINIMUM).to_json() == {
        "name": "errors",
        "result": "success",
        "value": 0.0,
        "bound": 0.0,
        "limit": 0.01,
        "count": 40,
    }
