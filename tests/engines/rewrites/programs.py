"""Tiny programs, written down as data, rewritten and run in a child process."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from toolkit.child import Progress
from toolkit.engines import graph as graphs
from toolkit.engines import model
from toolkit.engines import weights as weights_file
from toolkit.engines.graph import Graph
from toolkit.engines.options import PredictorOptions

Job = tuple[str, dict[str, Any]]

EPSILON = 2.0**-10
# Paddle Inference refuses programs without any parameter, so each has an output that is made of this one alone.
_ANCHOR = "anchor"


def op(kind: str, inputs: Mapping[str, Any], result: str, slot: str = "Out", **attributes: Any) -> list[Any]:
    """One operator, with one output."""
    slots = {key: [names] if isinstance(names, str) else names for key, names in inputs.items()}
    return [kind, slots, {slot: [result]}, attributes]


def conv(source: str, weight: str, result: str, kind: str = "conv2d", **attributes: Any) -> list[Any]:
    """A convolution that pads nothing unless told."""
    given = {"strides": [1, 1], "paddings": [0, 0], "dilations": [1, 1], "groups": 1, **attributes}
    return op(kind, {"Input": source, "Filter": weight}, result, "Output", **given)


def add(x: str, y: str, result: str, axis: int = -1) -> list[Any]:
    return op("elementwise_add", {"X": x, "Y": y}, result, axis=axis)


def mul(x: str, y: str, result: str, axis: int = -1) -> list[Any]:
    return op("elementwise_mul", {"X": x, "Y": y}, result, axis=axis)


def norm(source: str, name: str, result: str) -> list[Any]:
    """Batch norm by the parameters `name`_{scale,bias,mean,variance}, and an epsilon of `EPSILON`."""
    slots = ("Scale", "Bias", "Mean", "Variance")
    inputs = {"X": [source], **{slot: [f"{name}_{slot.lower()}"] for slot in slots}}
    outputs = {"Y": [result], "MeanOut": [f"{name}_mean"], "VarianceOut": [f"{name}_variance"]}
    outputs |= {"SavedMean": [f"{result}_saved_mean"], "SavedVariance": [f"{result}_saved_variance"]}
    return ["batch_norm", inputs, outputs, {"epsilon": EPSILON, "is_test": True}]


def case(
    rewrite: str,
    ops: Sequence[Any],
    weights: Optional[Mapping[str, Any]] = None,
    outputs: Sequence[str] = ("y",),
    shape: Sequence[int] = (-1, 2, -1, -1),
    inside: Sequence[str] = (),
    integers: Sequence[str] = (),
) -> Job:
    """A call of `rewritten` for `tests.jobs.attempt_all`.

    Args:
        outputs: tensors that are fetched.
        shape: of the input `x`.
        inside: tensors that a block of a loop reads; such a program is not run.
        integers: weights that are int32.
    """
    return "tests.engines.rewrites.programs:rewritten", {
        "rewrite": rewrite,
        "ops": list(ops),
        "weights": dict(weights or {}),
        "outputs": list(outputs),
        "shape": list(shape),
        "inside": list(inside),
        "integers": list(integers),
    }


def rewritten(rewrite: str, inside: Sequence[str], progress: Progress, **program: Any) -> dict[str, Any]:
    """In the child: what the rewrite makes of a program.

    Returns:
        How often it was taken, and how often in what it made; the operators as `describe` tells them; the weights; and
        the largest difference of the outputs, for an input of noise.
    """
    del progress
    module = importlib.import_module(f"toolkit.engines.rewrites.{rewrite}")
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), **program)
        graph = graphs.read(model.files_in(Path(folder)))
        for name in inside:
            block = graph.description.blocks.add(idx=1, parent_idx=0)
            block.ops.append(graphs.make_op("relu", {"X": [name]}, {"Out": ["inner"]}, {}))
        before = None if inside else _run(Path(folder), program["shape"])
        count = module.apply(graph)
        graph.prune()
        again = module.apply(graph.copy())
        graph.write(Path(folder))
        after = None if inside else _run(Path(folder), program["shape"])
    return {
        "count": count,
        "again": again,
        "ops": describe(graph),
        "weights": {name: array.tolist() for name, array in graph.weights.items() if name != _ANCHOR},
        "difference": difference(before, after) if before and after else 0.0,
    }


def describe(graph: Graph) -> list[str]:
    """Operators as "scale x*2+1 -> y", without feed and fetch."""
    return [
        _described(op)
        for op in graph.ops
        if op.type not in ("feed", "fetch") and _ANCHOR not in graphs.read_by(op)
    ]


def write(
    directory: Path,
    ops: Sequence[Any],
    weights: Mapping[str, Any],
    outputs: Sequence[str],
    shape: Sequence[int],
    integers: Sequence[str] = (),
) -> None:
    """Write the program as an inference model, its tensors declared as Paddle infers them."""
    import paddle
    from paddle.base import core

    paddle.enable_static()
    arrays = {
        name: np.asarray(value, np.int32 if name in integers else np.float32)
        for name, value in {**weights, _ANCHOR: [1]}.items()
    }
    program = paddle.static.Program()
    block = program.global_block()
    for name in ("feed", "fetch"):
        kind = core.VarDesc.VarType.FEED_MINIBATCH if name == "feed" else core.VarDesc.VarType.FETCH_LIST
        block.create_var(name=name, type=kind, persistable=True)
    block.create_var(name="x", shape=list(shape), dtype="float32")
    for name, array in arrays.items():
        block.create_var(name=name, shape=array.shape, dtype=str(array.dtype), persistable=True)
    block.append_op(type="feed", inputs={"X": ["feed"]}, outputs={"Out": ["x"]}, attrs={"col": 0})
    for kind, read, written, attributes in ops:
        for name in (name for names in written.values() for name in names if not block.has_var(name)):
            block.create_var(name=name, dtype="float32")
        block.append_op(type=kind, inputs=read, outputs=written, attrs=dict(attributes))
    block.create_var(name="anchored", dtype="float32")
    block.append_op(
        type="elementwise_max", inputs={"X": [_ANCHOR], "Y": [_ANCHOR]}, outputs={"Out": ["anchored"]}
    )
    for column, name in enumerate([*outputs, "anchored"]):
        block.append_op(type="fetch", inputs={"X": [name]}, outputs={"Out": ["fetch"]}, attrs={"col": column})
    files = model.files_in(directory)
    files.model.write_bytes(program.desc.serialize_to_string())
    weights_file.write(files.params, arrays)


def noise(shape: Sequence[int]) -> np.ndarray[Any, Any]:
    """An input of the shape, its dynamic dimensions 2 (batch), 5 and 6."""
    sizes = [size if size > 0 else given for size, given in zip(shape, (2, 5, 5, 6))]
    return np.random.default_rng(0).normal(size=sizes).astype(np.float32)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
    """Relative to an output's largest value; the largest of the outputs, which must have the same names and shapes."""
    assert list(before) == list(after)
    assert [array.shape for array in before.values()] == [array.shape for array in after.values()]
    return max(
        float(np.abs(before[name] - after[name]).max() / np.abs(before[name]).max()) for name in before
    )


def _run(directory: Path, shape: Sequence[int]) -> dict[str, np.ndarray[Any, Any]]:
    return model.load(directory, PredictorOptions())({"x": noise(shape)})


def _described(op: Any) -> str:
    reads = ", ".join(graphs.read_by(op))
    if op.type == "scale":
        scale, bias = graphs.attribute(op, "scale"), graphs.attribute(op, "bias")
        reads += f"*{scale:g}{bias:+g}"
    return f"{op.type} {reads} -> {graphs.written(op)[0]}"
