"""x * y + x as x * (y + 1), where y is small: one element-wise operation on large tensors less.

A residual connection around a squeeze-and-excitation block is of this form: y is one value for each channel.
"""

from __future__ import annotations

from typing import Optional

from toolkit.engines import graph as graphs
from toolkit.engines.graph import Graph, Op
from toolkit.engines.rewrites import chain as chains

NAME = "common factor"


def apply(graph: Graph) -> int:
    """Replace; the number of additions that are gone."""
    return sum(_replace(graph, op) for op in list(graph.ops) if op.type == "elementwise_add")


def _replace(graph: Graph, add: Op) -> bool:
    x, product = graphs.input_(add, "X"), graphs.input_(add, "Y")
    for whole, name in ((x, product), (product, x)):
        multiply = graph.producer(name) if graph.is_private(name) else None
        small = _other_factor(multiply, whole) if multiply is not None else None
        if multiply is not None and small is not None and _is_smaller(graph, small, whole):
            _distribute(graph, add, multiply, small)
            return True
    return False


def _other_factor(multiply: Op, factor: str) -> Optional[str]:
    names = [graphs.input_(multiply, "X"), graphs.input_(multiply, "Y")]
    if multiply.type != "elementwise_mul" or names.count(factor) != 1:
        return None
    names.remove(factor)
    return names[0]


def _is_smaller(graph: Graph, small: str, whole: str) -> bool:
    """Whether `small` is the same all over the height and width of `whole`, a float32 tensor of 4 dimensions."""
    if small in graph.weights or not chains.is_stable(graph, small, whole):
        return False
    if not (chains.is_float32(graph, small) and chains.is_float32(graph, whole)):
        return False
    first, second = graph.shape(small), graph.shape(whole)
    return (
        len(first) == len(second) == 4
        and first[2:] == (1, 1)
        and first[:2] == second[:2]
        and second[2:] != (1, 1)
    )


def _distribute(graph: Graph, add: Op, multiply: Op, small: str) -> None:
    name = graph.add_variable(graph.fresh_name(f"{small}.plus_one"), small)
    attributes = {"scale": 1.0, "bias": 1.0, "bias_after_scale": True}
    graph.insert_before(multiply, graphs.make_op("scale", {"X": [small]}, {"Out": [name]}, attributes))
    graphs.rename_inputs(multiply, {small: name})
    graphs.rename_outputs(multiply, {graphs.output(multiply, "Out"): graphs.output(add, "Out")})
    graph.remove(add)
