"""Operators that select rows by comparing values, such as non-maximum suppression.

How many rows they give, and in which order, changes with the last digit of a score. So two programs that are to do the
same are compared by what goes into these operators, not by what comes out of them.
"""

from __future__ import annotations

from toolkit.engines import graph as graphs
from toolkit.engines.graph import Graph
from toolkit.engines.program import SELECTING


def without_selection(graph: Graph) -> Graph:
    """`graph` without the selecting operators that write its outputs: their inputs are outputs in their place.

    The graph itself where there is none. The outputs' order is that of the program's, so the same for rewritten ones.
    """
    found = []
    for name in graph.outputs:
        op = graph.producer(name)
        slots = SELECTING.get(op.type, ()) if op is not None else ()
        found += [graphs.input_(op, slot) for slot in slots] or [name]
    if found == graph.outputs:
        return graph
    copy = graph.copy()
    copy.ops = [op for op in copy.ops if op.type != "fetch"]
    copy.add_outputs(list(dict.fromkeys(found)))
    copy.prune()
    return copy
