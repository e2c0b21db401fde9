"""Operators that change nothing at inference: dropout, assignments, casts to the same type, steps by one."""

from __future__ import annotations

from toolkit.engines import graph as graphs
from toolkit.engines.graph import Graph, Op
from toolkit.engines.rewrites import chain as chains

NAME = "identity"


def apply(graph: Graph) -> int:
    """Drop; the number of operators that are gone, or became a `scale`."""
    count = 0
    for op in list(graph.ops):
        plain = _without_dropout(graph, op) if op.type == "dropout" else op
        is_gone = _is_identity(graph, plain) and _bypass(graph, plain)
        count += is_gone or plain is not op
    return count


def _without_dropout(graph: Graph, op: Op) -> Op:
    """What dropout is at inference: a `scale`, by 1 where training made up for what was dropped; else `op` itself."""
    if not graphs.attribute(op, "is_test", False) or graph.consumers(graphs.output(op, "Mask") or "\0"):
        return op
    kind = graphs.attribute(op, "dropout_implementation", "downgrade_in_infer")
    kept = 1.0 if kind == "upscale_in_train" else 1.0 - float(graphs.attribute(op, "dropout_prob", 0.5))
    names = {"X": [graphs.input_(op, "X")]}, {"Out": [graphs.output(op, "Out")]}
    scale = graphs.make_op("scale", *names, {"scale": kept, "bias": 0.0, "bias_after_scale": True})
    graph.insert_before(op, scale)
    graph.remove(op)
    return scale


def _is_identity(graph: Graph, op: Op) -> bool:
    if op.type == "assign":
        return True
    if op.type == "cast":
        return bool(graphs.attribute(op, "in_dtype") == graphs.attribute(op, "out_dtype"))
    if op.type == "transpose2":
        axes = graphs.attribute(op, "axis", [])
        return bool(axes == sorted(axes)) and not graph.consumers(graphs.output(op, "XShape") or "\0")
    item = chains.affine_of(graph, op) if op.type != "batch_norm" else None
    return item is not None and item.is_scalar and item.multiply.item() == 1 and item.add.item() == 0


def _bypass(graph: Graph, op: Op) -> bool:
    """Take `op` out, which gives what it is given; False where both its names are needed, or one is written twice."""
    source, result = _ends(graph, op)
    inside, outputs = graph.used_inside(), graph.outputs
    if any(name in inside or len(graph.writers(name)) > 1 for name in (source, result)):
        return False
    if result not in outputs:
        graph.remove(op)
        graph.redirect(result, source)
        return True
    producer = graph.producer(source)
    if producer is None or producer.type == "feed" or source in graph.weights or source in outputs:
        return False
    graph.remove(op)
    graphs.rename_outputs(producer, {source: result})
    graph.redirect(source, result)
    return True


def _ends(graph: Graph, op: Op) -> tuple[str, str]:
    """The tensors that `op` reads and writes, without its parameters."""
    item = chains.affine_of(graph, op)
    if item is not None:
        return item.source, item.result
    return graphs.input_(op, "X"), graphs.output(op, "Out")
