from __future__ import annotations

from typing import Any

import pytest

from tests.engines.rewrites.programs import add, case, mul, op

# Paddle's numbers for int32 and float32.
INT32, FLOAT32 = 2, 5


def filled(result: str, value: float, shape: list[int], dtype: int = FLOAT32) -> list[Any]:
    return op("fill_constant", {}, result, shape=shape, value=value, str_value=str(value), dtype=dtype)


def turned(kind: str, source: str, result: str, **attributes: Any) -> list[Any]:
    return [kind, {"X": [source]}, {"Out": [result], "XShape": [f"{result}_shape"]}, attributes]


CASES = {
    "filled": case("constants", [filled("c", 1.5, [2]), mul("x", "c", "y", 1)]),
    "shape": case(
        "constants",
        [
            filled("batch", -1, [1], INT32),
            filled("rest", 60, [1], INT32),
            ["reshape2", {"X": ["x"], "ShapeTensor": ["batch", "rest"]}, {"Out": ["y"], "XShape": ["s"]}, {}],
        ],
    ),
    "arithmetic": case(
        "constants",
        [
            filled("one", 1, [1]),
            add("p", "one", "q"),
            op("elementwise_div", {"X": "q", "Y": "p"}, "r"),
            op("scale", {"X": "r"}, "c", scale=2.0, bias=0.5, bias_after_scale=False),
            mul("x", "c", "y", 1),
        ],
        {"p": [1, 4]},
    ),
    "turned": case(
        "constants",
        [
            turned("reshape2", "p", "q", shape=[0, -1, 1]),
            turned("transpose2", "q", "c", axis=[1, 0, 2]),
            mul("x", "c", "y"),
        ],
        {"p": [[1, 2]]},
    ),
    "of an input": case("constants", [add("x", "p", "t"), mul("t", "p", "y")], {"p": [1]}),
    "large": case("constants", [filled("c", 1, [2, 300, 300]), mul("x", "c", "y")], shape=(-1, 2, 300, 300)),
    "output": case("constants", [filled("c", 1, [2]), mul("x", "c", "y", 1)], outputs=["y", "c"]),
    "read by a loop": case("constants", [filled("c", 1, [2]), mul("x", "c", "y", 1)], inside=["c"]),
    "written again": case(
        "constants",
        [filled("c", 1, [2]), filled("c", 2, [2]), mul("x", "c", "y", 1)],
        inside=["unused"],
    ),
    "infinite": case(
        "constants", [op("elementwise_div", {"X": "p", "Y": "zero"}, "c"), add("x", "c", "y")],
        {"p": [1], "zero": [0]}, inside=["unused"],
    ),
}  # fmt: skip


def test_a_filled_tensor_becomes_a_parameter(outcomes: dict[str, Any]) -> None:
    assert outcomes["filled"]["count"] == 1
    assert outcomes["filled"]["ops"] == ["elementwise_mul x, c -> y"]
    assert outcomes["filled"]["weights"] == {"c": [1.5, 1.5]}


def test_so_do_the_numbers_of_a_shape(outcomes: dict[str, Any]) -> None:
    assert outcomes["shape"]["count"] == 2
    assert outcomes["shape"]["weights"] == {"batch": [-1], "rest": [60]}


def test_arithmetic_on_parameters_is_done_once(outcomes: dict[str, Any]) -> None:
    assert outcomes["arithmetic"]["count"] == 4
    assert outcomes["arithmetic"]["weights"] == {"c": [(2 / 1 + 0.5) * 2, (5 / 4 + 0.5) * 2]}
    assert outcomes["turned"]["weights"] == {"c": [[[1]], [[2]]]}


@pytest.mark.parametrize("name", ["filled", "shape", "arithmetic", "turned"])
def test_the_model_answers_the_same_and_nothing_is_left_to_do(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name]["again"] == 0
    assert outcomes[name]["difference"] < 1e-6


@pytest.mark.parametrize(
    "name", ["of an input", "large", "output", "read by a loop", "written again", "infinite"]
)
def test_what_is_not_known_or_not_worth_it_is_left_alone(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name]["count"] == 0
    assert len(outcomes[name]["ops"]) == len(CASES[name][1]["ops"])
