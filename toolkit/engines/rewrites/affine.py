"""Multiplications and additions by constants, scalar or per channel, folded into the layer before them."""

from __future__ import annotations

from toolkit.engines.graph import Graph
from toolkit.engines.rewrites import behind, chain, linear

NAME = "affine"


def apply(graph: Graph) -> int:
    """Fold; the number of layers that took something in."""
    count = 0
    for op in list(graph.ops):
        layer = linear.linear_of(graph, op)
        if layer is None:
            continue
        # Batch norms are another rewrite's, which may have been refused.
        links = chain.chain_behind(graph, layer.result, without=("batch_norm",))
        found = behind.foldable(graph, layer, links)
        is_bias = len(found) == 1 and found[0].op is linear.bias_of(graph, layer)
        if found and not is_bias and behind.fold(graph, layer, found):
            count += 1
    return count
