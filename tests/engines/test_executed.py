from __future__ import annotations

from typing import Optional

from toolkit.engines import executed
from toolkit.engines.executed import Step
from toolkit.engines.verbose import PRODUCTS, Primitive


def primitive(kind: str, *shape: int) -> Primitive:
    return Primitive(kind, "int8", "jit:any", 1, shape, 0.1)


def convolution(name: Optional[str], *shape: int) -> Step:
    return Step(name, ("convolution",), shape)


def product(name: Optional[str], *shape: int) -> Step:
    return Step(name, PRODUCTS, shape or None)


def test_primitives_are_named_in_the_order_of_execution() -> None:
    ran = [primitive("convolution", 8, 3, 3, 3), primitive("convolution", 8, 8, 1, 1)] * 2
    order = [convolution(name, *item.weight_shape) for name, item in zip("abcd", ran)]
    assert executed.names(ran, order) == ["a", "b", "c", "d"]


def test_a_layer_that_ran_outside_onednn_does_not_shift_the_names() -> None:
    order = [convolution("a", 8, 3, 3, 3), convolution("b", 8, 8, 1, 1), convolution("c", 4, 8, 1, 1)]
    ran = [primitive("convolution", 8, 3, 3, 3), primitive("convolution", 4, 8, 1, 1)]
    assert executed.names(ran, order) == ["a", "c"]


def test_one_primitive_for_two_equal_layers_gets_no_name() -> None:
    order = [convolution("a", 8, 3, 3, 3), convolution("b", 4, 4, 1, 1), convolution("c", 4, 4, 1, 1)]
    ran = [primitive("convolution", 8, 3, 3, 3), primitive("convolution", 4, 4, 1, 1)]
    assert executed.names(ran, order) == ["a", None]


def test_a_primitive_that_no_layer_can_be_gets_no_name() -> None:
    ran = [primitive("gemm_api", 15, 40), primitive("convolution", 4, 4, 1, 1)]
    assert executed.names(ran, [convolution("a", 4, 4, 1, 1)]) == [None, "a"]
    assert executed.names(ran, []) == [None, None]


def test_kinds_are_told_apart_at_equal_shapes() -> None:
    order = [convolution("a", 4, 4, 2, 2), Step("b", ("deconvolution",), (4, 4, 2, 2))]
    assert executed.names([primitive("deconvolution", 4, 4, 2, 2)], order) == ["b"]


def test_a_matrix_may_be_stored_transposed_and_products_of_activations_fit_any_shape() -> None:
    order = [product("fc", 360, 120), product("attention"), product("head", 120, 9)]
    ran = [primitive("inner_product", 120, 360), primitive("matmul", 15, 40), primitive("matmul", 120, 9)]
    assert executed.names(ran, order) == ["fc", "attention", "head"]
