"""Scalar multiplications and additions that no layer could take in: one `scale` operator for each chain of them."""

from __future__ import annotations

import numpy as np

from toolkit.engines import graph as graphs
from toolkit.engines.graph import Graph, Op
from toolkit.engines.rewrites import chain as chains
from toolkit.engines.rewrites import linear
from toolkit.engines.rewrites.chain import Affine

NAME = "scale"


def apply(graph: Graph) -> int:
    """Replace; the number of `scale` operators that were made."""
    return sum(_replace(graph, op) for op in list(graph.ops) if any(op is item for item in graph.ops))


def _replace(graph: Graph, op: Op) -> bool:
    chain = _scalars(graph, op)
    if not chain or (len(chain) == 1 and op.type == "scale") or linear.is_bias(graph, op, chain[0].source):
        return False
    multiply, add = (float(array.reshape(())) for array in chains.composed(chain))
    if not linear.is_representable(np.array([multiply, add])):
        return False
    attributes = {"scale": multiply, "bias": add, "bias_after_scale": True}
    names = {"X": [chain[0].source]}, {"Out": [chain[-1].result]}
    graph.insert_before(op, graphs.make_op("scale", *names, attributes))
    for item in chain:
        graph.remove(item.op)
    return True


def _scalars(graph: Graph, op: Op) -> list[Affine]:
    """The scalar affine operators from `op` on."""
    first = chains.affine_of(graph, op)
    if first is None or not first.is_scalar or op.type == "batch_norm":
        return []
    chain = [first]
    for item in chains.chain_behind(graph, first.result, without=("batch_norm",)):
        if not item.is_scalar:
            break
        chain.append(item)
    return chain
