"""Batch normalization by stored statistics, folded into the layer before it, with all that is affine around it."""

from __future__ import annotations

from toolkit.engines.graph import Graph
from toolkit.engines.rewrites import behind, chain, linear

NAME = "batch norm"


def apply(graph: Graph) -> int:
    """Fold; the number of `batch_norm` operators that are gone."""
    count = 0
    for op in list(graph.ops):
        layer = linear.linear_of(graph, op)
        if layer is None:
            continue
        found = behind.foldable(graph, layer, chain.chain_behind(graph, layer.result))
        norms = sum(item.op.type == "batch_norm" for item in found)
        if norms and behind.fold(graph, layer, found):
            count += norms
    return count
