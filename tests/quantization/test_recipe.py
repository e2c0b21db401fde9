from __future__ import annotations

from collections.abc import Callable

import pytest

from toolkit.quantization.recipe import Recipe

EVERYTHING = ("conv2d", "depthwise_conv2d", "mul", "matmul", "matmul_v2")


def test_the_label_says_what_differs_from_the_plain_recipe() -> None:
    assert Recipe(kinds=EVERYTHING).label == "int8 histogram 99.99"
    special = Recipe(
        "mse",
        weights="tensor",
        kinds=("conv2d",),
        exclude=("a", "b"),
        rest="bf16",
        bias_correction=True,
    )
    assert special.label == (
        "int8 mse, per tensor, depthwise in float, products in float, 2 layers in float, bias corrected, rest bf16"
    )


def test_a_recipe_survives_json_and_equal_ones_have_equal_digests() -> None:
    recipe = Recipe("kl", kinds=("conv2d",), exclude=("a",))
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe
    assert again.digest == recipe.digest != Recipe("kl", kinds=("conv2d",)).digest


def test_the_order_of_excluded_layers_makes_no_other_recipe() -> None:
    assert Recipe().excluding(("b", "a")) == Recipe().excluding(("a", "b"))


@pytest.mark.parametrize(
    "wrong",
    [lambda: Recipe("hist"), lambda: Recipe(weights="channel_wise_abs_max"), lambda: Recipe(rest="int4")],
)
def test_a_recipe_of_unknown_parts_is_refused(wrong: Callable[[], Recipe]) -> None:
    with pytest.raises(ValueError, match="is none of"):
        wrong()
