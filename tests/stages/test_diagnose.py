from __future__ import annotations

from typing import Any, Optional

import pytest

from toolkit.quantization.recipe import Recipe
from toolkit.stages.diagnose import why_float

RECIPE = Recipe(kinds=("conv2d",), exclude=("given", "found", "careful"))
FALLBACK = {"excluded": [{"layers": ["found"], "gave_back": 1.5}, {"layers": ["block"], "gave_back": None}]}


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("given", "conv2d", "named under `quantize.skip`"),
        ("found", "conv2d", "fallback: gives back 1.50 points"),
        (
            "block",
            "conv2d",
            "the engine has no INT8 for it",
        ),  # the recipe is another than the fallback's last one
        ("careful", "conv2d", "the recipe keeps it in float"),
        ("deep", "depthwise_conv2d", "the recipe keeps depthwise_conv2d in float"),
    ],
)
def test_a_layer_in_float_says_who_wanted_it(name: str, kind: str, reason: str) -> None:
    found = why_float(RECIPE, {"name": name, "kind": kind}, FALLBACK, ("given",))
    assert found is not None
    assert found.startswith(reason)


@pytest.mark.parametrize("recipe", [None, RECIPE])
def test_without_a_search_nothing_is_said_of_it(recipe: Optional[Recipe]) -> None:
    layer: Any = {"name": "found", "kind": "conv2d"}
    found = why_float(recipe, layer, None, ())
    assert found is None if recipe is None else "fallback" not in str(found)
