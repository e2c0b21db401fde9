"""When answers of two models are the same, and what is said when they are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from toolkit.conversion.isolated.converters.comparison import Side, compared
from toolkit.conversion.isolated.converters.refusal import RefusedError


@dataclass(frozen=True)
class Declared:
    name: str
    type: str = "tensor(float)"


class Session:
    """What a session of ONNX Runtime tells of a model."""

    def get_inputs(self) -> list[Declared]:
        return [Declared("x")]

    def get_outputs(self) -> list[Declared]:
        return [Declared("y")]


def twice(feed: Mapping[str, Any]) -> list[Any]:
    return [feed["x"] * 2]


def compare(found: Any, expected: Any = twice) -> list[dict[str, Any]]:
    trials = [{"x": [1, 3]}, {"x": [2, 3]}]
    return list(compared(Side("Paddle 3", expected), Side("the ONNX model", found), Session(), trials))


def test_the_largest_difference_is_told_for_each_shape() -> None:
    trials = compare(lambda feed: [feed["x"] * np.float32(2.0001)])
    assert [trial["shapes"] for trial in trials] == [{"x": [1, 3]}, {"x": [2, 3]}]
    assert [trial["differences"]["y"] for trial in trials] == pytest.approx([5e-5, 5e-5], rel=0.01)


def test_answers_that_are_too_far_apart_are_refused_with_the_output_and_the_shape() -> None:
    with pytest.raises(RefusedError, match=r"y of the ONNX model differs from Paddle 3's .* with x \[1, 3\]"):
        compare(lambda feed: [feed["x"] * np.float32(2.001)])


def test_an_output_of_another_shape_is_refused() -> None:
    with pytest.raises(
        RefusedError, match=r"the ONNX model gives y \[3\], Paddle 3 \[1, 3\], with x \[1, 3\]"
    ):
        compare(lambda feed: [feed["x"][0] * 2])


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_numbers_where_the_original_has_none_are_refused(wrong: float) -> None:
    with pytest.raises(RefusedError, match="of y, other values are infinite or no numbers than in Paddle 3"):
        compare(twice, lambda feed: [feed["x"] * wrong])


def test_no_numbers_where_the_original_has_some_are_refused() -> None:
    with pytest.raises(RefusedError, match="differs from Paddle 3's by up to nan"):
        compare(lambda feed: [feed["x"] * np.nan])


def refuse(feed: Mapping[str, Any]) -> list[Any]:
    raise ValueError("no such size")


def refuse_two(feed: Mapping[str, Any]) -> list[Any]:
    return twice(feed) if len(feed["x"]) == 1 else refuse(feed)


def test_a_size_that_the_original_does_not_take_is_left_out_and_said() -> None:
    assert compare(twice, refuse_two)[1]["skipped"] == "ValueError: no such size"


def test_one_size_at_least_must_be_compared() -> None:
    with pytest.raises(RefusedError, match="since Paddle 3 does not take") as caught:
        compare(twice, refuse)
    assert "--shape" in caught.value.remedy


def test_a_size_that_only_the_original_takes_is_refused() -> None:
    with pytest.raises(
        RefusedError, match=r"the ONNX model does not run with x \[2, 3\], which Paddle 3 does"
    ):
        compare(refuse_two)
