"""Quantizing and dequantizing operators around the layers of a program, and weights as integers.

The format is that of Paddle's QuantizationTransformPassV2 and QuantWeightPass (`onnx_format` of PaddleSlim):
`quantize_linear` and `dequantize_linear` around each activation, `dequantize_linear` behind each weight. Those passes
quantize all inputs of all operators of a type; here it is decided for each layer: its activations and its weight, its
weight alone (a smaller file, the layer runs in float), or nothing.

Real value = integer * threshold / 127; zero points are 0, since Paddle's quant_dequant_mkldnn_pass drops others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from toolkit.engines import graph as graphs
from toolkit.engines.graph import Graph, Op
from toolkit.engines.layers import CONVOLUTIONS, PRODUCTS, Layer

LEVELS = 127  # of eight bits with a sign, symmetric
_BITS = {"bit_length": 8}

# quant_dequant_mkldnn_pass does not know their weights, and would leave integers to a kernel for float.
FLOAT_ONLY = ("conv2d_transpose", "depthwise_conv2d_transpose")

# The attribute by which cpu_quantize_placement_pass leaves an operator in float, whatever its neighbours are.
_KEEP_FLOAT = "skip_quant"


def quantize_activation(graph: Graph, layer: Layer, name: str, threshold: float) -> None:
    """Let `layer` read the activation `name` through eight bits.

    Args:
        threshold: absolute value that becomes 127; what is larger is clipped.
    """
    op = _op_of(graph, layer)
    quantized, dequantized = f"{name}.quantized", f"{name}.dequantized"
    if graph.producer(dequantized) is None:
        scale = graph.add_weight(f"{name}@scale", np.array([threshold], np.float32))
        zero = _zeros(graph, 1)
        for variable in (quantized, dequantized):
            graph.add_variable(variable, like=name)
        first = graph.consumers(name)[0]
        graph.insert_before(first, _linear("quantize_linear", name, scale, zero, quantized, -1))
        graph.insert_before(first, _linear("dequantize_linear", quantized, scale, zero, dequantized, -1))
    graphs.rename_inputs(op, {name: dequantized})


def quantize_weight(graph: Graph, layer: Layer, granularity: str) -> None:
    """Store the weight of `layer` as int8, dequantized when the program is loaded.

    Args:
        granularity: `channel`: one scale for each output channel; `tensor`: one for all.
    """
    if layer.weight is None or graph.weights[layer.weight].dtype == np.int8:
        return
    values, axis = graph.weights[layer.weight], scale_axis(layer, granularity)
    thresholds = thresholds_of(values, axis)
    integers = to_integers(values, thresholds, axis)
    scale = graph.add_weight(f"{layer.weight}@scale", thresholds.astype(np.float32))
    zero = _zeros(graph, len(thresholds))
    dequantized = graph.add_variable(f"{layer.weight}.dequantized", like=layer.weight)
    graph.add_weight(layer.weight, integers)
    readers = graph.consumers(layer.weight)
    quant_axis = -1 if axis is None else axis
    op = _linear("dequantize_linear", layer.weight, scale, zero, dequantized, quant_axis)
    if layer.kind in PRODUCTS:
        _name_scale(op, layer.weight, float(thresholds[0]))
    graph.insert_before(readers[0], op)
    for reader in readers:
        graphs.rename_inputs(reader, {layer.weight: dequantized})


def keep_float(graph: Graph, layer: Layer) -> None:
    """Say that `layer` stays in float, also where scales of its neighbours would let it run in eight bits."""
    graphs.set_attribute(_op_of(graph, layer), _KEEP_FLOAT, 1)


def scale_axis(layer: Layer, granularity: str) -> Any:
    """The axis of output channels in a layer's weight; None for one scale in all: so for every matrix.

    Paddle 2.6.2 does not use the scales of a matrix that the program has: it computes them, one a column, and takes the
    wrong elements for them (compute_propagate_scales_mkldnn_pass.cc, GetScales: `data[j + i * rows]` of a row-major
    matrix), so that columns are clipped. The one scale of `_name_scale` it does use.
    """
    return 0 if granularity == "channel" and layer.kind in CONVOLUTIONS else None


def thresholds_of(values: np.ndarray[Any, Any], axis: Any) -> np.ndarray[Any, Any]:
    """The largest absolute value of each slice along `axis`, never 0: (channels,), or (1,) for None."""
    if axis is None:
        found = np.abs(values).max(keepdims=False).reshape(1)
    else:
        found = np.abs(np.moveaxis(values, axis, 0)).reshape(values.shape[axis], -1).max(axis=1)
    return np.where(found > 0, found, 1.0)


def to_integers(
    values: np.ndarray[Any, Any], thresholds: np.ndarray[Any, Any], axis: Any
) -> np.ndarray[Any, np.dtype[np.int8]]:
    """`values` as integers in -127..127, rounded half to even."""
    scaled = values.astype(np.float64) / _along(thresholds, values.ndim, axis) * LEVELS
    return np.asarray(np.clip(np.rint(scaled), -LEVELS, LEVELS), np.int8)


def from_integers(
    integers: np.ndarray[Any, Any], thresholds: np.ndarray[Any, Any], axis: Any
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The real values that `integers` stand for."""
    return np.asarray(integers * _along(thresholds, integers.ndim, axis) / LEVELS, np.float32)


def _along(thresholds: np.ndarray[Any, Any], rank: int, axis: Any) -> np.ndarray[Any, Any]:
    return thresholds.reshape([-1 if index == (axis or 0) else 1 for index in range(rank)])


def _zeros(graph: Graph, count: int) -> str:
    """Zero points for `count` scales; one parameter for all that have as many, since they are files' bytes too."""
    name = f"zero_point@{count}"
    return name if name in graph.weights else graph.add_weight(name, np.zeros(count, np.int32))


def _op_of(graph: Graph, layer: Layer) -> Op:
    op = graph.producer(layer.output)
    if op is None:
        raise KeyError(layer.output)
    return op


def _name_scale(op: Op, weight: str, threshold: float) -> None:
    """Give the threshold of `weight` to oneDNN's passes, before they compute one of their own (see `scale_axis`).

    They take `out_threshold` of an operator for that of every tensor in its output slots, known or not, and do not
    overwrite what they know (quant_dequant_mkldnn_pass.cc, CollectOutputScalesFromAttr).
    """
    op.outputs.add(parameter="Weight", arguments=[weight])
    graphs.set_attribute(op, "out_threshold", threshold)


def _linear(kind: str, source: str, scale: str, zero: str, target: str, axis: int) -> Op:
    inputs = {"X": [source], "Scale": [scale], "ZeroPoint": [zero]}
    return graphs.make_op(kind, inputs, {"Y": [target]}, {"quant_axis": axis, **_BITS})
