"""Affine operators that no layer stands before (behind an activation, say), folded into the layers after them.

A factor always goes into the weights of the next layers. What is added goes into their biases where they pad nothing:
a layer that pads would also have to add it to the zeros around its input. Where one of the layers pads, the pair stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np

from toolkit.engines import graph as graphs
from toolkit.engines.graph import Graph, Op
from toolkit.engines.rewrites import chain as chains
from toolkit.engines.rewrites import linear
from toolkit.engines.rewrites.chain import Affine
from toolkit.engines.rewrites.linear import Array, Linear

NAME = "forward"


def apply(graph: Graph) -> int:
    """Fold; the number of chains of affine operators that are gone."""
    return sum(_fold(graph, op) for op in list(graph.ops) if any(op is item for item in graph.ops))


def _fold(graph: Graph, op: Op) -> bool:
    """Fold the chain that begins with `op`, if there is one and all who read its result can take it in."""
    first = chains.affine_of(graph, op)
    if first is None or linear.is_bias(graph, op, first.source):
        return False
    chain = [first, *chains.chain_behind(graph, first.result)]
    takers = _takers(graph, chain[-1].result)
    folded = [_folded(graph, layer, chain) for layer in takers]
    if not takers or any(item is None for item in folded):
        return False
    for layer, change in zip(takers, folded):
        assert change is not None
        weight, bias = change
        if bias.any():
            linear.add_to_bias(graph, layer, bias)
        graph.add_weight(layer.weight, weight.astype(np.float32))
        graphs.rename_inputs(layer.op, {layer.source: first.source})
    for item in chain:
        graph.remove(item.op)
    return True


def _takers(graph: Graph, name: str) -> list[Linear]:
    """The layers that read `name`; none where anything else needs it too."""
    readers = graph.consumers(name)
    found = [linear.linear_of(graph, op) for op in readers]
    if name in graph.used_inside() or any(layer is None or layer.source != name for layer in found):
        return []
    return [layer for layer in found if layer is not None]


def _folded(graph: Graph, layer: Linear, chain: Sequence[Affine]) -> Optional[tuple[Array, Array]]:
    """Weight and what the bias gains, float64, for reading what `chain` reads; None where that is not exact."""
    pair = [chains.by_channel(array, layer.axis, layer.inputs) for array in chains.composed(chain)]
    multiply, add = pair
    if multiply is None or add is None or (add.any() and not layer.pads_nothing):
        return None
    # One channel that the chain makes several of is not what the layer can read.
    channels = graph.shape(chain[0].source)[layer.axis]
    if channels != layer.inputs and not all(item.is_scalar for item in chain):
        return None
    weight = graph.weights[layer.weight].astype(np.float64)
    changed = layer.by_input(weight, multiply)
    gained = layer.response(weight, add) if add.any() else np.zeros(layer.outputs)
    return (changed, gained) if linear.is_representable(changed, gained) else None
