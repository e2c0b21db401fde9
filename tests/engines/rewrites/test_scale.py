from __future__ import annotations

from typing import Any

import pytest

from tests.engines.rewrites.programs import add, case, conv, mul, op

RELU = op("relu", {"X": "x"}, "r")

CASES = {
    "pair": case("scale", [RELU, mul("s", "r", "m"), add("m", "o", "y")], {"s": [3], "o": [7]}),
    "added first": case("scale", [RELU, add("r", "o", "m"), mul("m", "s", "y")], {"s": [3], "o": [7]}),
    "one": case("scale", [RELU, add("r", "o", "y")], {"o": [7]}),
    "around a scale": case(
        "scale",
        [RELU, op("scale", {"X": "r"}, "m", scale=2.0, bias=1.0, bias_after_scale=False), add("m", "o", "y")],
        {"o": [7]},
    ),
    "several readers": case(
        "scale",
        [RELU, mul("s", "r", "m"), add("m", "o", "t"), add("m", "t", "y")],
        {"s": [3], "o": [7]},
    ),
    "channels": case("scale", [RELU, mul("r", "s", "y", 1)], {"s": [3, 4]}),
    "bias of one channel": case(
        "scale",
        [conv("x", "c.w_0", "a"), add("a", "c.b_0", "y", 1)],
        {"c.w_0": [[[[1]], [[2]]]], "c.b_0": [5]},
    ),
    "scale already": case("scale", [op("scale", {"X": "x"}, "y", scale=2.0, bias=1.0)]),
    "integers": case(
        "scale",
        [
            op("shape", {"Input": "x"}, "n"),
            add("n", "two", "m"),
            op("fill_constant", {"ShapeTensor": "m"}, "y"),
        ],
        {"two": [2]},
        inside=["unused"],
        integers=["two"],
    ),
}


def test_a_pair_becomes_one_operator_which_adds_last(outcomes: dict[str, Any]) -> None:
    assert outcomes["pair"]["ops"] == ["relu x -> r", "scale r*3+7 -> y"]
    assert outcomes["added first"]["ops"] == ["relu x -> r", "scale r*3+21 -> y"]
    assert outcomes["around a scale"]["ops"] == ["relu x -> r", "scale r*2+9 -> y"]


def test_a_single_operation_becomes_one_too(outcomes: dict[str, Any]) -> None:
    assert outcomes["one"]["ops"] == ["relu x -> r", "scale r*1+7 -> y"]


def test_what_others_read_in_between_stays(outcomes: dict[str, Any]) -> None:
    assert outcomes["several readers"]["count"] == 2
    assert outcomes["several readers"]["ops"][1:3] == ["scale r*3+0 -> m", "scale m*1+7 -> t"]


@pytest.mark.parametrize("name", ["pair", "added first", "one", "around a scale", "several readers"])
def test_the_model_answers_the_same_and_nothing_is_left_to_do(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name]["again"] == 0
    assert outcomes[name]["difference"] < 1e-6


@pytest.mark.parametrize("name", ["channels", "bias of one channel", "scale already", "integers"])
def test_other_operations_are_left_alone(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name]["count"] == 0
