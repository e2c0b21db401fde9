from __future__ import annotations

from typing import Any

import pytest

from tests.engines.rewrites.programs import EPSILON, add, case, conv, mul, norm, op

RELU = op("relu", {"X": "x"}, "r")
POINTWISE = [[[[1]], [[2]]], [[[3]], [[4]]]]
PADS = {"paddings": [1, 1]}
PAIR = [mul("s", "r", "m"), add("m", "o", "t")]
# As factors 3 and 0.5, as sums -29 and -8.
VARIANCE = [4 - EPSILON, 16 - EPSILON]
NORM = {"n_scale": [6, 2], "n_bias": [1, 2], "n_mean": [10, 20], "n_variance": VARIANCE}

CASES = {
    "pair": case(
        "forward",
        [RELU, *PAIR, conv("t", "c.w_0", "a"), add("a", "c.b_0", "y", 1)],
        {"c.w_0": POINTWISE, "c.b_0": [5, 6], "s": [10], "o": [7]},
    ),
    "no bias": case(
        "forward", [RELU, *PAIR, conv("t", "c.w_0", "y")], {"c.w_0": POINTWISE, "s": [10], "o": [7]}
    ),
    "channels": case(
        "forward",
        [RELU, mul("r", "s", "m", 1), add("m", "o", "t", 1), conv("t", "c.w_0", "y")],
        {"c.w_0": POINTWISE, "s": [10, 100], "o": [1, 2]},
    ),
    "norm": case("forward", [RELU, norm("r", "n", "t"), conv("t", "c.w_0", "y")], {"c.w_0": POINTWISE, **NORM}),
    "factor and padding": case(
        "forward", [RELU, mul("r", "s", "t"), conv("t", "c.w_0", "y", **PADS)], {"c.w_0": POINTWISE, "s": [10]}
    ),
    "groups": case(
        "forward",
        [RELU, mul("r", "s", "t", 1), conv("t", "c.w_0", "y", groups=2)],
        {"c.w_0": [[[[1]], [[2]]], [[[3]], [[4]]]], "s": [1, 10, 100, 1000]},
        shape=(-1, 4, -1, -1),
    ),
    "transposed": case(
        "forward",
        [RELU, mul("r", "s", "t", 1), conv("t", "c.w_0", "y", "conv2d_transpose")],
        {"c.w_0": POINTWISE, "s": [10, 100]},
    ),
    "product": case(
        "forward",
        [RELU, mul("r", "s", "m"), add("m", "o", "t"), op("matmul_v2", {"X": "t", "Y": "l.w_0"}, "y")],
        {"l.w_0": [[1, 2], [3, 4]], "s": [10, 100], "o": [1, 2]},
        shape=(-1, -1, 2),
    ),
    "two readers": case(
        "forward",
        [RELU, *PAIR, conv("t", "c.w_0", "a"), conv("t", "d.w_0", "b"), add("a", "b", "y")],
        {"c.w_0": POINTWISE, "d.w_0": POINTWISE, "s": [10], "o": [7]},
    ),
    "shared bias": case(
        "forward",
        [RELU, *PAIR, conv("t", "c.w_0", "a"), add("a", "c.b_0", "b", 1), conv("x", "d.w_0", "d"),
         add("d", "c.b_0", "e", 1), add("b", "e", "y")],
        {"c.w_0": POINTWISE, "d.w_0": POINTWISE, "c.b_0": [5, 6], "s": [10], "o": [7]},
    ),
    "padding": case(
        "forward", [RELU, *PAIR, conv("t", "c.w_0", "y", **PADS)], {"c.w_0": POINTWISE, "s": [10], "o": [7]}
    ),
    "same padding": case(
        "forward",
        [RELU, *PAIR, conv("t", "c.w_0", "y", padding_algorithm="SAME")],
        {"c.w_0": [[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]], "s": [10], "o": [7]},
    ),
    "added to transposed": case(
        "forward",
        [RELU, *PAIR, conv("t", "c.w_0", "y", "conv2d_transpose")],
        {"c.w_0": [[[[1, 2], [3, 4]]], [[[5, 6], [7, 8]]]], "s": [10], "o": [7]},
    ),
    "one reader pads": case(
        "forward",
        [RELU, *PAIR, conv("t", "c.w_0", "a"), conv("t", "d.w_0", "y", **PADS)],
        {"c.w_0": POINTWISE, "d.w_0": POINTWISE, "s": [10], "o": [7]},
        outputs=["a", "y"],
    ),
    "another reader": case(
        "forward",
        [RELU, *PAIR, conv("t", "c.w_0", "a"), add("a", "t", "y")],
        {"c.w_0": POINTWISE, "s": [10], "o": [7]},
    ),
    "output": case(
        "forward",
        [RELU, *PAIR, conv("t", "c.w_0", "y")],
        {"c.w_0": POINTWISE, "s": [10], "o": [7]},
        outputs=["y", "t"],
    ),
    "read by a loop": case(
        "forward",
        [RELU, *PAIR, conv("t", "c.w_0", "y")],
        {"c.w_0": POINTWISE, "s": [10], "o": [7]},
        inside=["t"],
    ),
    "shared weight": case(
        "forward",
        [RELU, *PAIR, conv("t", "c.w_0", "a"), conv("a", "c.w_0", "y")],
        {"c.w_0": POINTWISE, "s": [10], "o": [7]},
    ),
    "more channels": case(
        "forward",
        [RELU, mul("r", "s", "t"), conv("t", "c.w_0", "y")],
        {"c.w_0": POINTWISE, "s": [[[10]], [[100]]]},
        shape=(-1, 1, -1, -1),
    ),
    "bias": case(
        "forward",
        [conv("x", "c.w_0", "a"), add("a", "c.b_0", "t", 1), conv("t", "d.w_0", "y")],
        {"c.w_0": POINTWISE, "c.b_0": [5, 6], "d.w_0": POINTWISE},
    ),
}  # fmt: skip

ADDED = [7 * (1 + 2), 7 * (3 + 4)]


def test_a_pair_goes_into_the_weight_and_the_bias_of_the_next_layer(outcomes: dict[str, Any]) -> None:
    result = outcomes["pair"]
    assert result["ops"] == ["relu x -> r", "conv2d c.w_0, r -> a", "elementwise_add a, c.b_0 -> y"]
    assert result["weights"]["c.w_0"] == [[[[10]], [[20]]], [[[30]], [[40]]]]
    assert result["weights"]["c.b_0"] == [5 + ADDED[0], 6 + ADDED[1]]


def test_a_layer_without_a_bias_gets_one_and_its_readers_see_the_sum(outcomes: dict[str, Any]) -> None:
    result = outcomes["no bias"]
    assert result["ops"][1:] == ["conv2d c.w_0, r -> y.unbiased", "elementwise_add y.unbiased, c.b_0 -> y"]
    assert result["weights"]["c.b_0"] == ADDED


def test_channels_have_their_own_factors(outcomes: dict[str, Any]) -> None:
    assert outcomes["channels"]["weights"]["c.w_0"] == [[[[10]], [[200]]], [[[30]], [[400]]]]
    assert outcomes["channels"]["weights"]["c.b_0"] == [1 + 4, 3 + 8]
    assert outcomes["norm"]["weights"]["c.w_0"] == [[[[3]], [[1]]], [[[9]], [[2]]]]
    assert outcomes["norm"]["weights"]["c.b_0"] == [-29 - 2 * 8, -3 * 29 - 4 * 8]


def test_a_factor_alone_goes_into_layers_that_pad_too(outcomes: dict[str, Any]) -> None:
    assert outcomes["factor and padding"]["ops"] == ["relu x -> r", "conv2d c.w_0, r -> y"]


def test_each_kind_of_layer_has_its_inputs_on_its_own_axis(outcomes: dict[str, Any]) -> None:
    assert outcomes["groups"]["weights"]["c.w_0"] == [[[[1]], [[20]]], [[[300]], [[4000]]]]
    assert outcomes["transposed"]["weights"]["c.w_0"] == [[[[10]], [[20]]], [[[300]], [[400]]]]
    assert outcomes["product"]["weights"] == {"l.w_0": [[10, 20], [300, 400]], "l.b_0": [1 + 6, 2 + 8]}


def test_all_layers_that_read_it_take_it_in(outcomes: dict[str, Any]) -> None:
    weights = outcomes["two readers"]["weights"]
    assert weights["c.w_0"] == weights["d.w_0"] == [[[[10]], [[20]]], [[[30]], [[40]]]]
    assert weights["c.b_0"] == weights["d.b_0"] == ADDED


def test_a_bias_that_another_layer_uses_is_not_changed(outcomes: dict[str, Any]) -> None:
    assert outcomes["shared bias"]["weights"]["c.b_0"] == [5, 6]
    assert outcomes["shared bias"]["weights"]["c.b_0_1"] == [5 + ADDED[0], 6 + ADDED[1]]


@pytest.mark.parametrize("name", [
    "pair", "no bias", "channels", "norm", "factor and padding", "groups", "transposed", "product", "two readers",
    "shared bias",
])  # fmt: skip
def test_the_model_answers_the_same_and_nothing_is_left_to_do(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name]["count"] == 1
    assert outcomes[name]["again"] == 0
    assert outcomes[name]["difference"] < 1e-6


@pytest.mark.parametrize("name", ["padding", "same padding", "one reader pads"])
def test_what_is_added_stays_before_layers_that_pad(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name]["count"] == 0
    assert "elementwise_add m, o -> t" in outcomes[name]["ops"]


@pytest.mark.parametrize("name", [
    "added to transposed", "another reader", "output", "read by a loop", "shared weight", "more channels", "bias",
])  # fmt: skip
def test_what_cannot_be_folded_is_left_alone(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name]["count"] == 0
    assert len(outcomes[name]["ops"]) == len(CASES[name][1]["ops"])
