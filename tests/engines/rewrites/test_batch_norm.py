from __future__ import annotations

from typing import Any

import pytest

from tests.engines.rewrites.programs import EPSILON, add, case, conv, mul, norm, op

ABS = op("abs", {"X": "t"}, "y")
POINTWISE = [[[[1]], [[2]]], [[[3]], [[4]]]]
# The deviations are 2 and 4: factors 3 and 0.5, sums 1 - 3 * 10 and 2 - 0.5 * 20.
VARIANCE = [4 - EPSILON, 16 - EPSILON]
NORM = {"n_scale": [6, 2], "n_bias": [1, 2], "n_mean": [10, 20], "n_variance": VARIANCE}
WEIGHTS = {"c.w_0": POINTWISE, "c.b_0": [5, 6], **NORM}

CASES = {
    "behind a convolution": case("batch_norm", [conv("x", "c.w_0", "a"), norm("a", "n", "t"), ABS], WEIGHTS),
    "behind a bias": case(
        "batch_norm", [conv("x", "c.w_0", "a"), add("a", "c.b_0", "b", 1), norm("b", "n", "t"), ABS], WEIGHTS
    ),
    "in a chain": case(
        "batch_norm",
        [conv("x", "c.w_0", "a"), mul("a", "s", "b"), norm("b", "n", "m"), mul("s", "m", "t"), ABS],
        {**WEIGHTS, "s": [2]},
    ),
    "two": case(
        "batch_norm", [conv("x", "c.w_0", "a"), norm("a", "n", "b"), norm("b", "n", "t"), ABS], WEIGHTS
    ),
    "no norm": case("batch_norm", [conv("x", "c.w_0", "a"), mul("a", "s", "t"), ABS], {**WEIGHTS, "s": [2]}),
    "no layer": case("batch_norm", [norm("x", "n", "t"), ABS], WEIGHTS),
    "by the batch": case(
        "batch_norm",
        [conv("x", "c.w_0", "a"), [*norm("a", "n", "t")[:3], {"epsilon": EPSILON, "is_test": False}], ABS],
        WEIGHTS,
        inside=["unused"],
    ),
    "several readers": case(
        "batch_norm", [conv("x", "c.w_0", "a"), norm("a", "n", "t"), add("a", "t", "y")], WEIGHTS
    ),
}


def test_a_norm_goes_into_weight_and_bias(outcomes: dict[str, Any]) -> None:
    result = outcomes["behind a convolution"]
    assert result["ops"] == ["conv2d c.w_0, x -> a", "elementwise_add a, c.b_0_1 -> t", "abs t -> y"]
    assert result["weights"]["c.w_0"] == [[[[3]], [[6]]], [[[1.5]], [[2]]]]
    assert list(result["weights"].values())[1:] == [[-29, -8]]


def test_the_bias_between_is_taken_in(outcomes: dict[str, Any]) -> None:
    assert outcomes["behind a bias"]["weights"]["c.b_0_1"] == [5 * 3 - 29, 6 * 0.5 - 8]


def test_so_is_what_is_affine_around_it(outcomes: dict[str, Any]) -> None:
    result = outcomes["in a chain"]
    assert result["weights"]["c.w_0"] == [[[[12]], [[24]]], [[[6]], [[8]]]]
    assert result["weights"]["c.b_0_1"] == [-58, -16]
    assert len(result["ops"]) == 3


@pytest.mark.parametrize(
    ("name", "count"), [("behind a convolution", 1), ("behind a bias", 1), ("in a chain", 1), ("two", 2)]
)
def test_the_norms_that_are_gone_are_counted(outcomes: dict[str, Any], name: str, count: int) -> None:
    assert outcomes[name]["count"] == count
    assert outcomes[name]["again"] == 0
    assert outcomes[name]["difference"] < 1e-6


@pytest.mark.parametrize("name", ["no norm", "no layer", "by the batch", "several readers"])
def test_what_cannot_be_folded_is_left_alone(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name]["count"] == 0
    assert len(outcomes[name]["ops"]) == len(CASES[name][1]["ops"])
