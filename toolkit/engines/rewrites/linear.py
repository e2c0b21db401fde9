"""What can be folded into a convolution or a matrix product with a parameter: arithmetic on its weight and its bias."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Optional

import numpy as np

from toolkit.engines import graph as graphs
from toolkit.engines import layers
from toolkit.engines.graph import Graph, Op
from toolkit.engines.rewrites import chain as chains

Array = np.ndarray[Any, Any]

_TRANSPOSED = ("conv2d_transpose", "depthwise_conv2d_transpose")


@dataclass(frozen=True)
class Linear:
    """A layer whose weight may be changed.

    Attributes:
        source: the tensor that it reads, beside its weight.
        result: the tensor that it writes, before its bias.
        axis: dimension of `source` and of `result` that holds channels.
        inputs: number of channels of `source`.
        outputs: number of channels of `result`.
    """

    op: Op
    source: str
    weight: str
    result: str
    axis: int
    inputs: int
    outputs: int

    @property
    def name(self) -> str:
        """What its parameters are named after."""
        return self.weight.rsplit(".w_", 1)[0]

    @property
    def pads_nothing(self) -> bool:
        """Whether every output sums over the whole weight, so that a constant input makes a constant output."""
        if self.op.type in layers.PRODUCTS:
            return True
        if self.op.type in _TRANSPOSED:
            return False
        kind = graphs.attribute(self.op, "padding_algorithm", "EXPLICIT")
        paddings = graphs.attribute(self.op, "paddings", [])
        return kind == "VALID" or (kind == "EXPLICIT" and not any(paddings))

    def by_output(self, weight: Array, values: Array) -> Array:
        """`weight` (float64) with each output channel's part multiplied by its value."""
        return self._multiplied(weight, values, second=self.op.type in _TRANSPOSED)

    def by_input(self, weight: Array, values: Array) -> Array:
        """`weight` (float64) with each input channel's part multiplied by its value."""
        return self._multiplied(weight, values, second=self.op.type not in _TRANSPOSED)

    def response(self, weight: Array, values: Array) -> Array:
        """What each output channel gets from inputs that are `values` everywhere; only where nothing is padded."""
        given = self.by_input(weight, values)
        if self.op.type in layers.PRODUCTS:
            return np.asarray(given.sum(axis=1 if _is_turned(self.op) else 0))
        return np.asarray(given.sum(axis=(1, 2, 3)))

    def _multiplied(self, weight: Array, values: Array, *, second: bool) -> Array:
        """Filters are [outputs, inputs of a group, height, width], transposed ones [inputs, outputs of a group, ...].

        On the first axis, the channels of the first group come first.
        """
        if self.op.type in layers.PRODUCTS:
            # [inputs, outputs] unless it is turned.
            by_row = second is not _is_turned(self.op)
            return np.asarray(weight * (values[:, None] if by_row else values))
        if not second:
            return np.asarray(weight * values[:, None, None, None])
        groups = _groups(self.op)
        grouped = weight.reshape(groups, -1, *weight.shape[1:])
        return np.asarray(grouped * values.reshape(groups, 1, -1, 1, 1)).reshape(weight.shape)


def linear_of(graph: Graph, op: Op) -> Optional[Linear]:
    """`op` as a layer whose weight belongs to it alone; None where it is none, or of a form not known here."""
    if op.type not in layers.KINDS:
        return None
    first, second, third = layers.slots_of(op)
    source, weight, result = graphs.input_(op, first), graphs.input_(op, second), graphs.output(op, third)
    if not chains.is_constant(graph, weight) or not graph.is_private(weight) or source in graph.weights:
        return None
    if set(graphs.read_by(op)) != {source, weight} or not _is_plain(graph, op, source, weight):
        return None
    if not chains.is_stable(graph, source, result):
        return None
    inputs, outputs = _channels(op, graph.weights[weight].shape)
    return Linear(op, source, weight, result, 1 if op.type in layers.CONVOLUTIONS else -1, inputs, outputs)


def _channels(op: Op, shape: tuple[int, ...]) -> tuple[int, int]:
    """Input and output channels of a layer whose weight has this shape."""
    if op.type in layers.PRODUCTS:
        return (shape[1], shape[0]) if _is_turned(op) else (shape[0], shape[1])
    if op.type in _TRANSPOSED:
        return shape[0], shape[1] * _groups(op)
    return shape[1] * _groups(op), shape[0]


def _groups(op: Op) -> int:
    return int(graphs.attribute(op, "groups", 1) or 1)


def _is_turned(op: Op) -> bool:
    """Whether the weight of a product is [outputs, inputs]."""
    return bool(graphs.attribute(op, "trans_y", False) or graphs.attribute(op, "transpose_Y", False))


def _is_plain(graph: Graph, op: Op, source: str, weight: str) -> bool:
    """Channels first, a weight of 4 dimensions; or rows by a weight of 2. Nothing fused, nothing turned."""
    rank = graph.weights[weight].ndim
    if op.type in layers.CONVOLUTIONS:
        return rank == 4 and graphs.attribute(op, "data_format", "NCHW") in ("NCHW", "AnyLayout")
    if rank != 2 or len(graph.shape(source)) < 2 or graphs.attribute(op, "alpha", 1.0) != 1.0:
        return False
    if op.type == "mul":
        rows = int(graphs.attribute(op, "x_num_col_dims", 1))
        return rows == len(graph.shape(source)) - 1 and graphs.attribute(op, "y_num_col_dims", 1) == 1
    return not (graphs.attribute(op, "trans_x", False) or graphs.attribute(op, "transpose_X", False))


def bias_of(graph: Graph, layer: Linear) -> Optional[Op]:
    """The `elementwise_add` right behind `layer` that adds one parameter for each channel, as Paddle writes a bias."""
    if not graph.is_private(layer.result):
        return None
    op = graph.consumers(layer.result)[0]
    name = graphs.input_(op, "Y")
    if op.type != "elementwise_add" or not chains.is_constant(graph, name):
        return None
    rank = len(graph.shape(layer.result))
    along = int(graphs.attribute(op, "axis", -1)) % rank == layer.axis % rank
    return op if along and graph.weights[name].shape == (layer.outputs,) else None


def is_bias(graph: Graph, op: Op, source: str) -> bool:
    """Whether `op`, which reads `source`, adds the bias of a layer: that costs nothing, engines fuse it."""
    producer = graph.producer(source)
    layer = linear_of(graph, producer) if producer is not None else None
    return layer is not None and bias_of(graph, layer) is op


def set_bias(graph: Graph, layer: Linear, values: Array, result: str) -> None:
    """Put one operator behind `layer` that adds `values` (float64) for each channel and writes `result`."""
    name = graph.fresh_name(f"{layer.name}.b_0")
    graph.add_weight(name, values.astype(np.float32))
    axis = 1 if layer.axis == 1 else len(graph.shape(layer.result)) - 1
    op = graphs.make_op(
        "elementwise_add", {"X": [layer.result], "Y": [name]}, {"Out": [result]}, {"axis": axis}
    )
    graph.insert_after(layer.op, op)


def add_to_bias(graph: Graph, layer: Linear, values: Array) -> None:
    """Let `layer` add `values` (float64) too, in the bias that it has or in a new one."""
    op = bias_of(graph, layer)
    if op is None:
        # The layer writes elsewhere, so that all who read its result read that of the addition.
        inner = graph.add_variable(graph.fresh_name(f"{layer.result}.unbiased"), layer.result)
        graphs.rename_outputs(layer.op, {layer.result: inner})
        set_bias(graph, replace(layer, result=inner), values, layer.result)
        return
    old = graphs.input_(op, "Y")
    name = old if graph.is_private(old) else graph.fresh_name(f"{layer.name}.b_0")
    graph.add_weight(name, (graph.weights[old].astype(np.float64) + values).astype(np.float32))
    graphs.rename_inputs(op, {old: name})


def is_representable(*arrays: Array) -> bool:
    """Whether float32 can hold all values."""
    return all(bool((np.abs(array) <= np.finfo(np.float32).max).all()) for array in arrays)
