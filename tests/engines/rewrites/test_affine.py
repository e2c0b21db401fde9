from __future__ import annotations

from typing import Any

import pytest

from tests.engines.rewrites.programs import add, case, conv, mul, op

RELU = op("relu", {"X": "t"}, "y")
# Two channels in, two out: y0 = x0 + 2 x1, y1 = 3 x0 + 4 x1.
POINTWISE = [[[[1]], [[2]]], [[[3]], [[4]]]]
# Two groups of two in and three out, with a kernel of one: [inputs, outputs of a group, 1, 1].
GROUPED = [[[[1]], [[2]], [[3]]], [[[4]], [[5]], [[6]]], [[[7]], [[8]], [[9]]], [[[10]], [[11]], [[12]]]]
PER_CHANNEL = [[[10]], [[100]]]

CASES = {
    # As Paddle exports a learnable affine block: the parameter is the first operand of the product.
    "block": case(
        "affine",
        [conv("x", "c.w_0", "a"), add("a", "c.b_0", "b", 1), mul("s", "b", "m"), add("m", "o", "t"), RELU],
        {"c.w_0": POINTWISE, "c.b_0": [5, 6], "s": [10], "o": [7]},
    ),
    "no bias": case(
        "affine", [conv("x", "c.w_0", "a"), mul("a", "s", "t"), RELU], {"c.w_0": POINTWISE, "s": [2]}
    ),
    "channels": case(
        "affine",
        [conv("x", "c.w_0", "a"), mul("a", "s", "m"), add("m", "o", "t"), RELU],
        {"c.w_0": POINTWISE, "s": PER_CHANNEL, "o": [[[1]], [[2]]]},
    ),
    "channels by axis": case(
        "affine", [conv("x", "c.w_0", "a"), mul("a", "s", "t", 1), RELU], {"c.w_0": POINTWISE, "s": [10, 100]}
    ),
    "less and parts": case(
        "affine",
        [
            conv("x", "c.w_0", "a"),
            op("elementwise_sub", {"X": "o", "Y": "a"}, "b"),
            op("elementwise_div", {"X": "b", "Y": "s"}, "t"),
            RELU,
        ],
        {"c.w_0": POINTWISE, "o": [8], "s": [4]},
    ),
    "padded": case(
        "affine",
        [conv("x", "c.w_0", "a", paddings=[1, 1]), mul("a", "s", "m"), add("m", "o", "t"), RELU],
        {"c.w_0": POINTWISE, "s": [3], "o": [1]},
    ),
    "depthwise": case(
        "affine",
        [conv("x", "c.w_0", "a", "depthwise_conv2d", groups=2), mul("a", "s", "t"), RELU],
        {"c.w_0": [[[[2]]], [[[3]]]], "s": PER_CHANNEL},
    ),
    "transposed in groups": case(
        "affine",
        [conv("x", "c.w_0", "a", "conv2d_transpose", groups=2), mul("a", "s", "t", 1), RELU],
        {"c.w_0": GROUPED, "s": [1, 10, 100, 2, 20, 200]},
        shape=(-1, 4, -1, -1),
    ),
    "product": case(
        "affine",
        [op("matmul_v2", {"X": "x", "Y": "l.w_0"}, "a"), mul("a", "s", "m"), add("m", "o", "t"), RELU],
        {"l.w_0": [[1, 2], [3, 4]], "s": [10, 100], "o": [5, 6]},
        shape=(-1, -1, 2),
    ),
    "turned product": case(
        "affine",
        [op("matmul_v2", {"X": "x", "Y": "l.w_0"}, "a", trans_y=True), mul("a", "s", "t"), RELU],
        {"l.w_0": [[1, 2], [3, 4], [5, 6]], "s": [1, 10, 100]},
        shape=(-1, -1, 2),
    ),
    "bias only": case(
        "affine",
        [conv("x", "c.w_0", "a"), add("a", "c.b_0", "t", 1), RELU],
        {"c.w_0": POINTWISE, "c.b_0": [5, 6]},
    ),
    "fetched result": case(
        "affine", [conv("x", "c.w_0", "a"), mul("a", "s", "y")], {"c.w_0": POINTWISE, "s": [2]}
    ),
    "output between": case(
        "affine",
        [conv("x", "c.w_0", "a"), mul("a", "s", "t"), RELU],
        {"c.w_0": POINTWISE, "s": [2]},
        outputs=["a", "y"],
    ),
    "several readers": case(
        "affine",
        [conv("x", "c.w_0", "a"), mul("a", "s", "t"), add("a", "t", "y")],
        {"c.w_0": POINTWISE, "s": [2]},
    ),
    "read by a loop": case(
        "affine",
        [conv("x", "c.w_0", "a"), mul("a", "s", "t"), RELU],
        {"c.w_0": POINTWISE, "s": [2]},
        inside=["a"],
    ),
    "shared weight": case(
        "affine",
        [conv("x", "c.w_0", "a"), mul("a", "s", "b"), conv("b", "c.w_0", "d"), mul("d", "s", "y")],
        {"c.w_0": POINTWISE, "s": [2]},
    ),
    "along the width": case(
        "affine",
        [conv("x", "c.w_0", "a"), mul("a", "s", "m"), mul("m", "wide", "n"), mul("n", "s", "t"), RELU],
        {"c.w_0": POINTWISE, "s": [2], "wide": [1, 2, 3, 4, 5, 6]},
        shape=(-1, 2, -1, 6),
    ),
    "more channels": case(
        "affine",
        [conv("x", "c.w_0", "a"), add("a", "o", "t"), RELU],
        {"c.w_0": [[[[1]], [[2]]]], "o": PER_CHANNEL},
    ),
    "by nothing": case(
        "affine",
        [conv("x", "c.w_0", "a"), op("elementwise_div", {"X": "a", "Y": "s"}, "t"), RELU],
        {"c.w_0": POINTWISE, "s": [0]},
        inside=["unused"],
    ),
    "too large": case(
        "affine",
        [conv("x", "c.w_0", "a"), mul("a", "s", "m"), mul("m", "s", "t"), RELU],
        {"c.w_0": POINTWISE, "s": [1e30]},
        inside=["unused"],
    ),
}


def test_a_learnable_affine_block_goes_into_weight_and_bias(outcomes: dict[str, Any]) -> None:
    result = outcomes["block"]
    assert result["weights"]["c.w_0"] == [[[[10]], [[20]]], [[[30]], [[40]]]]
    assert result["weights"]["c.b_0_1"] == [57, 67]
    assert result["ops"] == ["conv2d c.w_0, x -> a", "elementwise_add a, c.b_0_1 -> t", "relu t -> y"]


def test_a_factor_alone_needs_no_bias(outcomes: dict[str, Any]) -> None:
    assert outcomes["no bias"]["ops"] == ["conv2d c.w_0, x -> t", "relu t -> y"]
    assert outcomes["no bias"]["weights"] == {"c.w_0": [[[[2]], [[4]]], [[[6]], [[8]]]]}


@pytest.mark.parametrize("name", ["channels", "channels by axis"])
def test_factors_of_channels_go_to_their_filters(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name]["weights"]["c.w_0"] == [[[[10]], [[20]]], [[[300]], [[400]]]]


def test_a_new_bias_is_written_as_paddle_does(outcomes: dict[str, Any]) -> None:
    assert outcomes["channels"]["weights"]["c.b_0"] == [1, 2]
    assert outcomes["channels"]["ops"][1] == "elementwise_add a, c.b_0 -> t"


def test_differences_and_quotients_are_affine_too(outcomes: dict[str, Any]) -> None:
    weights = outcomes["less and parts"]["weights"]
    assert weights["c.w_0"] == [[[[-0.25]], [[-0.5]]], [[[-0.75]], [[-1]]]]
    assert weights["c.b_0"] == [2, 2]


def test_each_kind_of_layer_has_its_outputs_on_its_own_axis(outcomes: dict[str, Any]) -> None:
    assert outcomes["depthwise"]["weights"]["c.w_0"] == [[[[20]]], [[[300]]]]
    transposed = outcomes["transposed in groups"]["weights"]["c.w_0"]
    assert [[column[0][0] for column in row] for row in transposed] == [
        [1, 20, 300], [4, 50, 600], [14, 160, 1800], [20, 220, 2400],
    ]  # fmt: skip
    assert outcomes["product"]["weights"] == {"l.w_0": [[10, 200], [30, 400]], "l.b_0": [5, 6]}
    assert outcomes["turned product"]["weights"]["l.w_0"] == [[1, 2], [30, 40], [500, 600]]


@pytest.mark.parametrize("name", [
    "block", "no bias", "channels", "channels by axis", "less and parts", "padded", "depthwise",
    "transposed in groups", "product", "turned product", "fetched result", "along the width",
])  # fmt: skip
def test_the_model_answers_the_same_and_nothing_is_left_to_do(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name]["count"] == 1
    assert outcomes[name]["again"] == 0
    assert outcomes[name]["difference"] < 1e-6


def test_an_output_keeps_its_name(outcomes: dict[str, Any]) -> None:
    assert outcomes["fetched result"]["ops"] == ["conv2d c.w_0, x -> y"]


def test_what_treats_positions_differently_ends_the_chain(outcomes: dict[str, Any]) -> None:
    assert outcomes["along the width"]["ops"][1:] == [
        "elementwise_mul m, wide -> n", "elementwise_mul n, s -> t", "relu t -> y",
    ]  # fmt: skip


@pytest.mark.parametrize("name", [
    "bias only", "output between", "several readers", "read by a loop", "shared weight", "more channels",
    "by nothing", "too large",
])  # fmt: skip
def test_what_cannot_be_folded_is_left_alone(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name]["count"] == 0
    assert outcomes[name]["difference"] == 0
    assert len(outcomes[name]["ops"]) == len(CASES[name][1]["ops"])
