from __future__ import annotations

from typing import Any

import pytest

from tests.engines.rewrites.programs import add, case, mul, op

POOL = op("pool2d", {"X": "x"}, "p", pooling_type="avg", ksize=[1, 1], adaptive=True)

CASES = {
    "residual": case("factor", [POOL, mul("x", "p", "m"), add("x", "m", "y")]),
    "other order": case("factor", [POOL, mul("p", "x", "m"), add("m", "x", "y")]),
    "also an output": case("factor", [POOL, mul("x", "p", "m"), add("x", "m", "y")], outputs=["y", "p"]),
    "product read twice": case(
        "factor", [POOL, mul("x", "p", "m"), add("x", "m", "t"), add("t", "m", "y")]
    ),
    "product is an output": case("factor", [POOL, mul("x", "p", "m"), add("x", "m", "y")], outputs=["y", "m"]),
    "equally large": case("factor", [op("tanh", {"X": "x"}, "p"), mul("x", "p", "m"), add("x", "m", "y")]),
    "another sum": case(
        "factor", [POOL, op("tanh", {"X": "x"}, "z"), mul("x", "p", "m"), add("z", "m", "y")]
    ),
    "square": case("factor", [mul("x", "x", "m"), add("x", "m", "y")]),
}  # fmt: skip


@pytest.mark.parametrize("name", ["residual", "other order", "also an output"])
def test_the_small_factor_takes_the_addition(outcomes: dict[str, Any], name: str) -> None:
    result = outcomes[name]
    assert (result["count"], result["again"]) == (1, 0)
    assert result["ops"][1] == "scale p*1+1 -> p.plus_one"
    assert result["ops"][2] in ("elementwise_mul x, p.plus_one -> y", "elementwise_mul p.plus_one, x -> y")
    assert result["difference"] < 1e-6


@pytest.mark.parametrize("name", [
    "product read twice", "product is an output", "equally large", "another sum", "square",
])  # fmt: skip
def test_other_sums_are_left_alone(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name]["count"] == 0
    assert len(outcomes[name]["ops"]) == len(CASES[name][1]["ops"])
