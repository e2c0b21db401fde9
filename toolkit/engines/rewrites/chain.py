"""Affine operators: those that multiply by a constant and add one, and the chains that they stand in.

`elementwise_*` with a parameter as one operand (in whichever slot), `scale`, and `batch_norm` at inference are all
y = multiply * x + add; a chain of them is again one such pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional

import numpy as np

from toolkit.engines import graph as graphs
from toolkit.engines.graph import Graph, Op

Array = np.ndarray[Any, Any]

_ARITHMETIC = ("elementwise_add", "elementwise_sub", "elementwise_mul", "elementwise_div")


@dataclass(frozen=True)
class Affine:
    """An operator result = multiply * source + add.

    Attributes:
        multiply: float64, of as many dimensions as `source`, which it broadcasts with; so is `add`.
    """

    op: Op
    source: str
    result: str
    multiply: Array
    add: Array

    @property
    def is_scalar(self) -> bool:
        """Whether all values are treated alike."""
        return self.multiply.size == 1 and self.add.size == 1


def affine_of(graph: Graph, op: Op) -> Optional[Affine]:
    """`op` as an affine operator on float32; None where it is none."""
    reading = _READINGS.get(op.type)
    found = reading(graph, op) if reading is not None else None
    return found if found is not None and is_stable(graph, found.source, found.result) else None


def chain_behind(graph: Graph, name: str, *, without: Sequence[str] = ()) -> list[Affine]:
    """The affine operators behind the tensor `name`, one after the other, as far as nothing else reads what is between.

    Args:
        without: types of operators at which the chain ends.
    """
    chain: list[Affine] = []
    while graph.is_private(name):
        op = graph.consumers(name)[0]
        found = affine_of(graph, op) if op.type not in without else None
        if found is None:
            break
        chain.append(found)
        name = found.result
    return chain


def composed(chain: Sequence[Affine]) -> tuple[Array, Array]:
    """The pair (multiply, add), float64, that does what the operators of `chain` do one after the other."""
    multiply, add = np.float64(1) * chain[0].multiply, np.float64(1) * chain[0].add
    for item in chain[1:]:
        multiply, add = multiply * item.multiply, add * item.multiply + item.add
    return multiply, add


def by_channel(array: Array, axis: int, channels: int) -> Optional[Array]:
    """`array` as one value for each of the `channels` of dimension `axis`; None where other dimensions differ too."""
    axis %= array.ndim
    if array.size != array.shape[axis] or array.size not in (1, channels):
        return None
    return np.broadcast_to(array.reshape(-1), (channels,))


def is_constant(graph: Graph, name: str) -> bool:
    """Whether `name` is a float32 parameter that keeps its value; batch norms only name theirs as outputs."""
    if name not in graph.weights or graph.weights[name].dtype != np.float32:
        return False
    return all(op.type == "batch_norm" for op in graph.ops if name in graphs.written(op))


def is_stable(graph: Graph, *names: str) -> bool:
    """Whether each of `names` stands for one value all through the program, so that it can be read elsewhere."""
    return all(len(graph.writers(name)) <= 1 for name in names)


def is_float32(graph: Graph, name: str) -> bool:
    """Whether `name` is declared as a float32 tensor."""
    from paddle.base.proto import framework_pb2

    try:
        kind = graph.variable(name).type.lod_tensor.tensor.data_type
    except KeyError:
        return False
    return bool(kind == framework_pb2.VarType.Type.Value("FP32"))


def _arithmetic(graph: Graph, op: Op) -> Optional[Affine]:
    x, y = graphs.input_(op, "X"), graphs.input_(op, "Y")
    if is_constant(graph, x) == is_constant(graph, y):
        return None
    source, parameter = (y, x) if is_constant(graph, x) else (x, y)
    if not is_float32(graph, source):
        return None
    constant = _aligned(
        graph.weights[parameter], len(graph.shape(source)), int(graphs.attribute(op, "axis", -1))
    )
    pair = None if constant is None else _pair(op.type, constant, constant_first=source == y)
    if pair is None:
        return None
    return Affine(op, source, graphs.output(op, "Out"), *pair)


def _aligned(constant: Array, rank: int, axis: int) -> Optional[Array]:
    """`constant` with the dimensions of a tensor of `rank`, of which its first is the dimension `axis`; -1: its last is
    the last. That is how Paddle broadcasts (phi/kernels/funcs/common_shape.h)."""
    value = constant.astype(np.float64)
    if axis != -1:
        while value.ndim + axis > rank and value.shape[-1] == 1:
            value = value[..., 0]
        value = value.reshape(value.shape + (1,) * (rank - axis - value.ndim))
    if value.ndim > rank or rank == 0:
        return None
    return value.reshape((1,) * (rank - value.ndim) + value.shape)


def _pair(kind: str, constant: Array, *, constant_first: bool) -> Optional[tuple[Array, Array]]:
    one, nothing = np.ones_like(constant), np.zeros_like(constant)
    if kind == "elementwise_add":
        return one, constant
    if kind == "elementwise_mul":
        return constant, nothing
    if kind == "elementwise_sub":
        return (-one, constant) if constant_first else (one, -constant)
    if constant_first or not constant.all():
        return None
    return one / constant, nothing


def _scale(graph: Graph, op: Op) -> Optional[Affine]:
    source = graphs.input_(op, "X")
    rank = len(graph.shape(source)) if is_float32(graph, source) else 0
    if graphs.input_(op, "ScaleTensor") or rank == 0:
        return None
    multiply, add = float(graphs.attribute(op, "scale", 1.0)), float(graphs.attribute(op, "bias", 0.0))
    if not graphs.attribute(op, "bias_after_scale", True):
        add *= multiply
    shape = (1,) * rank
    return Affine(op, source, graphs.output(op, "Out"), np.full(shape, multiply), np.full(shape, add))


def _batch_norm(graph: Graph, op: Op) -> Optional[Affine]:
    """y = scale * (x - mean) / sqrt(variance + epsilon) + bias, by the stored statistics."""
    stored = graphs.attribute(op, "is_test", False) or graphs.attribute(op, "use_global_stats", False)
    names = [graphs.input_(op, slot) for slot in ("Scale", "Bias", "Mean", "Variance")]
    source = graphs.input_(op, "X")
    if not stored or not all(is_constant(graph, name) for name in names) or not is_float32(graph, source):
        return None
    scale, bias, mean, variance = (graph.weights[name].astype(np.float64) for name in names)
    multiply = scale / np.sqrt(variance + float(graphs.attribute(op, "epsilon", 1e-5)))
    rank = len(graph.shape(source))
    axis = 1 if graphs.attribute(op, "data_layout", "NCHW") in ("NCHW", "AnyLayout") else rank - 1
    shape = tuple(-1 if index == axis else 1 for index in range(rank))
    add = bias - mean * multiply
    return Affine(op, source, graphs.output(op, "Y"), multiply.reshape(shape), add.reshape(shape))


_READINGS: dict[str, Callable[[Graph, Op], Optional[Affine]]] = {
    "scale": _scale,
    "batch_norm": _batch_norm,
    **dict.fromkeys(_ARITHMETIC, _arithmetic),
}
