from __future__ import annotations

from toolkit.quantization import grid
from toolkit.quantization.recipe import Recipe

EVERYTHING = ("conv2d", "depthwise_conv2d", "mul", "matmul", "matmul_v2")


def test_kinds_that_a_model_does_not_have_make_no_recipe_of_their_own() -> None:
    detector = grid.kinds(EVERYTHING, {"conv2d", "depthwise_conv2d", "conv2d_transpose"}, Recipe())
    assert [item.label for item in detector] == [
        "int8 histogram 99.99",
        "int8 histogram 99.99, depthwise in float",
    ]
    recognizer = grid.kinds(EVERYTHING, {"conv2d", "depthwise_conv2d", "matmul_v2"}, Recipe())
    assert [len(item.kinds) for item in recognizer] == [5, 4, 2, 1]


def test_a_model_of_products_alone_is_not_raced_without_them() -> None:
    assert [item.kinds for item in grid.kinds(EVERYTHING, {"mul"}, Recipe())] == [EVERYTHING]


def test_a_model_without_layers_to_quantize_has_no_recipe() -> None:
    assert grid.kinds(EVERYTHING, {"conv2d_transpose"}, Recipe()) == []


def test_each_algorithm_is_tried_once_and_the_best_so_far_comes_first() -> None:
    best = Recipe("histogram", percent=0.999, kinds=EVERYTHING)
    found = grid.algorithms(best, ("minmax", "histogram", "kl"), (0.999, 0.9999))
    assert [item.label for item in found] == [
        "int8 histogram 99.9",
        "int8 minmax",
        "int8 histogram 99.99",
        "int8 kl",
    ]


def test_variations_differ_from_the_winner_in_one_thing_each() -> None:
    best = Recipe("mse", kinds=EVERYTHING)
    labels = [item.label for item in grid.variations(best, ("channel", "tensor"), pairs=0, bf16=True)]
    assert labels == ["int8 mse", "int8 mse, bias corrected", "int8 mse, per tensor", "int8 mse, rest bf16"]


def test_equalization_is_tried_only_where_there_are_pairs() -> None:
    labels = [item.label for item in grid.variations(Recipe("mse"), ("channel",), pairs=2, bf16=False)]
    assert sum("equalized" in label for label in labels) == 1
