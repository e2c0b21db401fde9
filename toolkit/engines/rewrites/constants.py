"""Operators whose inputs are all parameters, computed once: their results become parameters."""

from __future__ import annotations

from typing import Any, Callable, Optional

import numpy as np

from toolkit.engines import graph as graphs
from toolkit.engines import weights as weights_file
from toolkit.engines.graph import Graph, Op

NAME = "constants"

Array = np.ndarray[Any, Any]

# More elements than this are cheaper made than loaded.
_LARGEST = 1 << 16


def apply(graph: Graph) -> int:
    """Compute; the number of operators that are gone."""
    count = 0
    for op in list(graph.ops):
        value = _value(graph, op)
        if value is None:
            continue
        name = graphs.written(op)[0]
        graph.remove(op)
        graph.add_weight(name, value)
        count += 1
    return count


def _value(graph: Graph, op: Op) -> Optional[Array]:
    """What `op` writes, if that is known already, and the name stands for nothing else."""
    if op.type not in _KNOWN or not all(name in graph.weights for name in graphs.read_by(op)):
        return None
    result = graphs.output(op, "Out")
    others = [name for name in graphs.written(op) if name != result]
    if result in graph.outputs or result in graph.used_inside() or len(graph.writers(result)) > 1:
        return None
    if any(graph.consumers(name) for name in others) or any(
        graph.writers(name) for name in graphs.read_by(op)
    ):
        return None
    value = _KNOWN[op.type](graph, op)
    return value if value is not None and np.isfinite(value).all() and value.size <= _LARGEST else None


def _filled(graph: Graph, op: Op) -> Optional[Array]:
    del graph
    if graphs.read_by(op):
        return None
    text = graphs.attribute(op, "str_value", "")
    value = float(text) if text else float(graphs.attribute(op, "value", 0.0))
    dtype = weights_file.element_type(int(graphs.attribute(op, "dtype", 5)))
    shape = tuple(int(size) for size in graphs.attribute(op, "shape", []))
    # Counted first: a large one is never made.
    return np.full(shape, value).astype(dtype) if np.prod(shape, dtype=np.int64) <= _LARGEST else None


def _arithmetic(graph: Graph, op: Op) -> Optional[Array]:
    x, y = (graph.weights[graphs.input_(op, slot)] for slot in ("X", "Y"))
    if x.dtype != np.float32 or y.dtype != np.float32 or int(graphs.attribute(op, "axis", -1)) != -1:
        return None
    with np.errstate(all="ignore"):
        value = _ARITHMETIC[op.type](x.astype(np.float64), y.astype(np.float64))
    return np.asarray(value, np.float32)


def _scaled(graph: Graph, op: Op) -> Optional[Array]:
    x = graph.weights[graphs.input_(op, "X")]
    if x.dtype != np.float32 or graphs.input_(op, "ScaleTensor"):
        return None
    scale, bias = float(graphs.attribute(op, "scale", 1.0)), float(graphs.attribute(op, "bias", 0.0))
    after = graphs.attribute(op, "bias_after_scale", True)
    return np.asarray(x.astype(np.float64) * scale + (bias if after else bias * scale), np.float32)


def _reshaped(graph: Graph, op: Op) -> Optional[Array]:
    x = graph.weights[graphs.input_(op, "X")]
    if len(graphs.read_by(op)) > 1:
        return None
    # In Paddle's shapes 0 keeps the dimension that stands there.
    shape = [
        x.shape[index] if size == 0 else size for index, size in enumerate(graphs.attribute(op, "shape"))
    ]
    return x.reshape(shape)


def _transposed(graph: Graph, op: Op) -> Optional[Array]:
    return np.ascontiguousarray(graph.weights[graphs.input_(op, "X")].transpose(graphs.attribute(op, "axis")))


_ARITHMETIC: dict[str, Any] = {
    "elementwise_add": np.add,
    "elementwise_sub": np.subtract,
    "elementwise_mul": np.multiply,
    "elementwise_div": np.divide,
}
_KNOWN: dict[str, Callable[[Graph, Op], Optional[Array]]] = {
    "fill_constant": _filled,
    "scale": _scaled,
    "reshape2": _reshaped,
    "transpose2": _transposed,
    **dict.fromkeys(_ARITHMETIC, _arithmetic),
}
