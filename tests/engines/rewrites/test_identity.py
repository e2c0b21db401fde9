from __future__ import annotations

from typing import Any

import pytest

from tests.engines.rewrites.programs import case, mul, op

RELU = op("relu", {"X": "t"}, "y")


def dropout(kind: str, *, is_test: bool = True) -> list[Any]:
    attributes = {"dropout_prob": 0.25, "dropout_implementation": kind, "is_test": is_test}
    return ["dropout", {"X": ["x"]}, {"Out": ["t"], "Mask": ["mask"]}, attributes]


def transpose(axis: list[int]) -> list[Any]:
    return ["transpose2", {"X": ["x"]}, {"Out": ["t"], "XShape": ["shape"]}, {"axis": axis}]


CASES = {
    "dropout": case("identity", [dropout("upscale_in_train"), RELU]),
    "assign": case("identity", [op("assign", {"X": "x"}, "t"), RELU]),
    "scale": case("identity", [op("scale", {"X": "x"}, "t", scale=1.0, bias=0.0), RELU]),
    "times one": case("identity", [mul("one", "x", "t"), RELU], {"one": [1]}),
    "cast": case("identity", [op("cast", {"X": "x"}, "t", in_dtype=5, out_dtype=5), RELU]),
    "transpose": case("identity", [transpose([0, 1, 2, 3]), RELU]),
    "two": case("identity", [op("assign", {"X": "x"}, "s"), op("assign", {"X": "s"}, "t"), RELU]),
    "fetched": case("identity", [op("relu", {"X": "x"}, "t"), op("assign", {"X": "t"}, "y")]),
    "old dropout": case("identity", [dropout("downgrade_in_infer"), RELU]),
    "dropout in training": case(
        "identity", [dropout("upscale_in_train", is_test=False), RELU], inside=["unused"]
    ),
    "input to output": case("identity", [op("assign", {"X": "x"}, "y")]),
    "both fetched": case(
        "identity", [op("relu", {"X": "x"}, "t"), op("assign", {"X": "t"}, "y")], outputs=["t", "y"]
    ),
    "read by a loop": case("identity", [op("assign", {"X": "x"}, "t"), RELU], inside=["t"]),
    "written again": case(
        "identity", [op("assign", {"X": "x"}, "t"), op("tanh", {"X": "x"}, "t"), RELU], inside=["unused"]
    ),
    "other scale": case("identity", [op("scale", {"X": "x"}, "t", scale=1.0, bias=1.0), RELU]),
    "other transpose": case("identity", [transpose([0, 1, 3, 2]), RELU]),
    "other cast": case("identity", [op("cast", {"X": "x"}, "t", in_dtype=5, out_dtype=6), RELU]),
}


@pytest.mark.parametrize("name", ["dropout", "assign", "scale", "times one", "cast", "transpose"])
def test_what_changes_nothing_is_gone(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name]["count"] == 1
    assert outcomes[name]["ops"] == ["relu x -> y"]
    assert outcomes[name]["difference"] == 0


def test_one_behind_the_other_is_gone_too(outcomes: dict[str, Any]) -> None:
    assert outcomes["two"]["count"] == 2
    assert outcomes["two"]["ops"] == ["relu x -> y"]


def test_an_output_keeps_its_name(outcomes: dict[str, Any]) -> None:
    assert outcomes["fetched"]["ops"] == ["relu x -> y"]
    assert outcomes["fetched"]["difference"] == 0


def test_dropout_that_is_made_up_for_at_inference_is_a_scale(outcomes: dict[str, Any]) -> None:
    assert outcomes["old dropout"]["count"] == 1
    assert outcomes["old dropout"]["again"] == 0
    assert outcomes["old dropout"]["ops"] == ["scale x*0.75+0 -> t", "relu t -> y"]
    assert outcomes["old dropout"]["difference"] < 1e-6


@pytest.mark.parametrize("name", [
    "dropout in training", "input to output", "both fetched", "read by a loop", "written again", "other scale",
    "other transpose", "other cast",
])  # fmt: skip
def test_what_is_needed_is_left_alone(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name]["count"] == 0
    assert len(outcomes[name]["ops"]) == len(CASES[name][1]["ops"])
