"""The layers of a program that have something to quantize: convolutions and matrix products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from toolkit.engines import graph as graphs
from toolkit.engines.graph import Graph, Op

# The input slots (activation, weight or second activation) and the output slot of each kind of operator.
_SLOTS = {
    "conv2d": ("Input", "Filter", "Output"),
    "depthwise_conv2d": ("Input", "Filter", "Output"),
    "conv2d_transpose": ("Input", "Filter", "Output"),
    "depthwise_conv2d_transpose": ("Input", "Filter", "Output"),
    "mul": ("X", "Y", "Out"),
    "matmul": ("X", "Y", "Out"),
    "matmul_v2": ("X", "Y", "Out"),
}

KINDS = tuple(_SLOTS)
CONVOLUTIONS = ("conv2d", "depthwise_conv2d", "conv2d_transpose", "depthwise_conv2d_transpose")
PRODUCTS = ("mul", "matmul", "matmul_v2")


@dataclass(frozen=True)
class Layer:
    """A convolution or a matrix product.

    Attributes:
        name: that of its weight without `.w_0`; that of its output where both factors are activations.
        kind: type of the operator; a grouped convolution with one channel a group is `depthwise_conv2d`.
        activations: the tensors that it reads and that are no parameters.
        weight: its parameter, if it has one.
        weight_shape: of the parameter; empty without one.
        output: the tensor that it writes.
    """

    name: str
    kind: str
    activations: tuple[str, ...]
    weight: Optional[str]
    weight_shape: tuple[int, ...]
    output: str

    @property
    def channel_axis(self) -> int:
        """The axis of its activations that holds channels."""
        return 1 if self.kind in CONVOLUTIONS else -1


def layers_of(graph: Graph) -> list[Layer]:
    """The layers in program order, under distinct names."""
    found: list[Layer] = []
    for op in graph.ops:
        if op.type in _SLOTS:
            found.append(_layer(graph, op, {layer.name for layer in found}))
    return found


def activations_of(layers: list[Layer]) -> dict[str, Optional[int]]:
    """The tensors to calibrate, each once, with the axis of its channels; None where its readers disagree on that."""
    axes: dict[str, set[int]] = {}
    for layer in layers:
        for name in layer.activations:
            axes.setdefault(name, set()).add(layer.channel_axis)
    return {name: found.pop() if len(found) == 1 else None for name, found in axes.items()}


def slots_of(op: Op) -> tuple[str, str, str]:
    """Activation, weight and output slot of a layer's operator."""
    return _SLOTS[op.type]


def _layer(graph: Graph, op: Op, taken: set[str]) -> Layer:
    first, second, output = _SLOTS[op.type]
    operands = [graphs.input_(op, first), graphs.input_(op, second)]
    weight = next((name for name in operands if name in graph.weights), None)
    result = graphs.output(op, output)
    # A parameter that two layers share names the first of them.
    name = weight.rsplit(".w_", 1)[0] if weight is not None else result
    return Layer(
        result if name in taken else name,
        _kind(graph, op, weight),
        tuple(item for item in operands if item not in graph.weights),
        weight,
        graph.weights[weight].shape if weight is not None else (),
        result,
    )


def _kind(graph: Graph, op: Op, weight: Optional[str]) -> str:
    groups = int(graphs.attribute(op, "groups", 1) or 1)
    if op.type == "conv2d" and weight is not None and groups > 1 and graph.weights[weight].shape[1] == 1:
        return "depthwise_conv2d"
    return str(op.type)
