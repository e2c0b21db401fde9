"""Cross-layer equalization: the channels between two convolutions get ranges alike, so that one scale fits them all.

Nagel, van Baalen, Blankevoort, Welling: "Data-Free Quantization Through Weight Equalization and Bias Correction" (ICCV
2019), section 4.1. Where f(s x) = s f(x) for each s > 0, what lies between two layers, channel i of the first may be
divided by s_i and the second's weights for it multiplied by s_i: the outputs stay what they were.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from toolkit.child import Progress
from toolkit.engines import graph as graphs
from toolkit.engines import model, signature
from toolkit.engines.graph import Graph, Op
from toolkit.engines.rewrites import linear
from toolkit.engines.rewrites.linear import Linear

Array = np.ndarray[Any, np.dtype[Any]]

_CONVOLUTIONS = ("conv2d", "depthwise_conv2d")
# f(s x) = s f(x), channel by channel. Not hard_swish, swish, sigmoid, relu6: those bend at fixed values.
_HOMOGENEOUS = ("relu", "leaky_relu", "prelu", "pool2d", "nearest_interp_v2", "bilinear_interp_v2")

# Layers in the middle of a chain take part in two pairs, so all pairs are gone over until nothing moves by a hundredth.
_PASSES = 40
_SETTLED = 0.01
# Bound of a factor, either way. Channels that training left all but zero would else be blown up, with their biases.
_LARGEST = 100.0


@dataclass(frozen=True)
class Pair:
    """Two convolutions that were equalized.

    Attributes:
        first: name of the layer whose output channels were divided by `factors`.
        second: name of the layer whose weights were multiplied by them.
        tensors: what lies between: channel i of each is now 1 / factors[i] of what it was.
        factors: float64, (channels,).
    """

    first: str
    second: str
    tensors: tuple[str, ...]
    factors: Array


@dataclass(frozen=True)
class _Link:
    first: Linear
    second: Linear
    bias: Optional[str]
    tensors: tuple[str, ...]


def equalize(graph: Graph) -> list[Pair]:
    """Equalize all pairs of convolutions that nothing but positively homogeneous operators lies between.

    Where r1_i and r2_i are the largest absolute weights of output channel i of the first and of input channel i of the
    second, s_i = sqrt(r1_i * r2_i) / r2_i makes both sqrt(r1_i * r2_i).

    The model gives the same outputs up to rounding, but other values in `Pair.tensors`: their statistics have to be
    collected from the equalized model. The same graph is always equalized in the same way.
    """
    links = [link for op in graph.ops for link in _links(graph, op)]
    totals = [np.ones(link.first.outputs) for link in links]
    for _ in range(_PASSES):
        moved = 0.0
        for link, total in zip(links, totals):
            factors = _factors(graph, link)
            factors = np.clip(total * factors, 1 / _LARGEST, _LARGEST) / total
            _apply(graph, link, factors)
            total *= factors
            moved = max(moved, float(np.abs(np.log(factors)).max()))
        if moved < _SETTLED:
            break
    return [
        Pair(link.first.name, link.second.name, link.tensors, total)
        for link, total in zip(links, totals)
        if np.abs(np.log(total)).max() >= _SETTLED
    ]


def _links(graph: Graph, op: Op) -> list[_Link]:
    """The pair that `op` is the first of, if it is."""
    first = _convolution(graph, op)
    if first is None:
        return []
    bias = linear.bias_of(graph, first)
    if bias is not None and not graph.is_private(graphs.input_(bias, "Y")):
        return []
    tensors = [first.result]
    while graph.is_private(tensors[-1]):
        op = graph.consumers(tensors[-1])[0]
        second = _convolution(graph, op)
        if second is not None:
            name = graphs.input_(bias, "Y") if bias is not None else None
            return [_Link(first, second, name, tuple(tensors))]
        if op is not bias and op.type not in _HOMOGENEOUS:
            break
        tensors.append(graphs.output(op, "Out"))
    return []


def _convolution(graph: Graph, op: Op) -> Optional[Linear]:
    return linear.linear_of(graph, op) if op.type in _CONVOLUTIONS else None


def _factors(graph: Graph, link: _Link) -> Array:
    """s for each channel between; 1 where one of the two ranges is 0."""
    one = _ranges(graph.weights[link.first.weight], np.arange(link.first.outputs)[:, None])
    two = _ranges(graph.weights[link.second.weight], _input_channels(link.second, graph))
    usable = (one > 0) & (two > 0)
    return np.asarray(np.sqrt(np.where(usable, one, 1.0) / np.where(usable, two, 1.0)))


def _input_channels(layer: Linear, graph: Graph) -> Array:
    """For each element [o, i] of a filter [outputs, inputs of a group, ...] the channel that it reads."""
    outputs, inputs = graph.weights[layer.weight].shape[:2]
    groups = layer.inputs // inputs
    return np.arange(outputs)[:, None] // (outputs // groups) * inputs + np.arange(inputs)


def _ranges(weight: Array, channels: Array) -> Array:
    """The largest absolute value of the elements [o, i, ...] of each channel; `channels` broadcasts with [o, i]."""
    largest = np.abs(weight).max(axis=(2, 3)).astype(np.float64)
    found = np.zeros(int(channels.max()) + 1)
    np.maximum.at(found, np.broadcast_to(channels, largest.shape), largest)
    return found


def _apply(graph: Graph, link: _Link, factors: Array) -> None:
    first, second = (graph.weights[item.weight].astype(np.float64) for item in (link.first, link.second))
    graph.add_weight(link.first.weight, link.first.by_output(first, 1 / factors).astype(np.float32))
    graph.add_weight(link.second.weight, link.second.by_input(second, factors).astype(np.float32))
    if link.bias is not None:
        graph.add_weight(link.bias, (graph.weights[link.bias] / factors).astype(np.float32))


def write(source: str, target: str, progress: Progress) -> dict[str, Any]:
    """Equalize the model in the directory `source` and write it to `target`.

    Returns:
        `bytes`, and the number of `pairs`.

    Raises:
        ModelError: the model cannot be read.
    """
    graph = graphs.read(model.files_in(Path(source)))
    pairs = equalize(graph)
    graph.write(Path(target))
    signature.read(Path(source)).write(Path(target))
    progress(1, 1)
    return {"bytes": model.files_in(Path(target)).size, "pairs": len(pairs)}
