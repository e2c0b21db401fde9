"""Folding a chain of affine operators into the layer before it; what `batch_norm` and `affine` have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolkit.engines import graph as graphs
from toolkit.engines.graph import Graph
from toolkit.engines.rewrites import chain as chains
from toolkit.engines.rewrites import linear
from toolkit.engines.rewrites.chain import Affine
from toolkit.engines.rewrites.linear import Linear


def foldable(graph: Graph, layer: Linear, chain: Sequence[Affine]) -> list[Affine]:
    """The first operators of `chain`, which stands behind `layer`, that treat all values of a channel alike."""
    kept: list[Affine] = []
    for item in chain:
        pair = (chains.by_channel(array, layer.axis, layer.outputs) for array in (item.multiply, item.add))
        if any(values is None for values in pair):
            break
        kept.append(item)
    return kept


def fold(graph: Graph, layer: Linear, chain: Sequence[Affine]) -> bool:
    """Give `layer` the weight and the bias that make `chain` superfluous; says whether float32 can hold them."""
    multiply, add = (np.broadcast_to(array.reshape(-1), (layer.outputs,)) for array in chains.composed(chain))
    weight = layer.by_output(graph.weights[layer.weight].astype(np.float64), multiply)
    if not linear.is_representable(weight, add):
        return False
    result = chain[-1].result
    for item in chain:
        graph.remove(item.op)
    graph.add_weight(layer.weight, weight.astype(np.float32))
    if add.any():
        linear.set_bias(graph, layer, add, result)
    else:
        graphs.rename_outputs(layer.op, {layer.result: result})
    return True
