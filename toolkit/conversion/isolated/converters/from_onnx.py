"""An ONNX model as one of Paddle 2, by x2paddle, compared with it in ONNX Runtime.

Runs in the environment of `requirements-onnx.lock`.
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import onnx
from onnx import numpy_helper, version_converter

from .comparison import Side, Trials, compared
from .refusal import OTHER_SIZES, RefusedError, first_line
from .runtimes import fold_constants, onnx_session, paddle_answers, paddle_predictor

# The newest operator set that x2paddle 1.6.0 knows; it reads a newer one as if it were this.
_NEWEST_OPSET = 15
# What x2paddle puts before each name.
_PREFIX = "x2paddle_"
_VERSIONS = ("x2paddle", "onnx", "onnxruntime", "paddlepaddle")
_OWN_DOMAINS = ("", "ai.onnx")


class UnknownOperatorError(RefusedError):
    """The model has operators that x2paddle does not know, whatever its sizes."""


def convert(model: str, target: str, trials: Trials) -> dict[str, Any]:
    """Convert and compare. What x2paddle cannot do with open sizes is done with those of the first trial.

    Args:
        model: the ONNX file.
        target: an empty directory, which gets `model.pdmodel` and `model.pdiparams`.
        trials: shapes of all inputs by their names, for each comparison.

    Returns:
        `versions` of the packages, `opset` as declared and as converted, the names of `inputs` by those in the Paddle
        program and of `outputs` in its order, why it is `fixed` to the sizes of the first trial (None: it is not), and
        `trials` as `compared` gives them.

    Raises:
        RefusedError: the model cannot be converted, or answers otherwise than in ONNX Runtime.
    """
    session = onnx_session(model)
    loaded = onnx.load(model)
    _refuse_branches(loaded)
    declared = _opset(loaded)
    if declared > _NEWEST_OPSET:
        loaded = _downgraded(loaded)
    _say_less(loaded)
    found, failed = _attempt_open(session, loaded, Path(target), trials)
    if failed is not None:
        found = _attempt_fixed(session, loaded, Path(target), trials[:1], failed)
    return {
        "versions": {name: importlib.metadata.version(name) for name in _VERSIONS},
        "opset": [declared, min(_opset(loaded), _NEWEST_OPSET)],
        **found,
    }


def _attempt_open(
    session: Any, model: Any, target: Path, trials: Trials
) -> tuple[dict[str, Any], Optional[RefusedError]]:
    """With the sizes that the model leaves open, or why that failed, if others are worth a try."""
    try:
        return _attempt(session, model, target, trials), None
    except UnknownOperatorError:
        raise
    except RefusedError as error:
        if not _is_open(model):
            raise
        return {}, error


def _attempt_fixed(
    session: Any, model: Any, target: Path, trials: Trials, failed: RefusedError
) -> dict[str, Any]:
    """With the sizes of one trial alone, after `failed`."""
    sys.stdout.write(f"with open sizes: {failed}\n")
    try:
        found = _attempt(session, _fixed(model, trials[0]), target, trials, "fixed")
        return {**found, "fixed": str(failed)}
    except RefusedError as error:
        if str(error) == str(failed):
            raise
        raise RefusedError(f"{error}; and with open sizes, {failed}", error.remedy) from failed


def _attempt(session: Any, model: Any, target: Path, trials: Trials, prefix: str = "open") -> dict[str, Any]:
    """Convert `model` and compare it with the original in `session`; what `convert` returns of that.

    Args:
        prefix: of all names; Paddle keeps those of parameters to the end of the process.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    plain, names = _plainly_named(model, prefix)
    _translate(plain, names, target)
    predictor = paddle_predictor(target / "model.pdmodel", target / "model.pdiparams")
    inputs = {name: names[name.removeprefix(_PREFIX)] for name in predictor.get_input_names()}
    expected = Side("ONNX Runtime", lambda feed: session.run(None, dict(feed)))
    found = Side(
        "the converted model",
        lambda feed: paddle_answers(predictor, {name: feed[own] for name, own in inputs.items()}),
    )
    return {
        "inputs": inputs,
        "outputs": [item.name for item in session.get_outputs()],
        "fixed": None,
        "trials": list(compared(expected, found, session, trials)),
    }


def _inputs(model: Any) -> list[Any]:
    """Without those that have a value, which old files list too."""
    values = {item.name for item in model.graph.initializer}
    return [item for item in model.graph.input if item.name not in values]


def _is_open(model: Any) -> bool:
    return any(dim.dim_value <= 0 for item in _inputs(model) for dim in item.type.tensor_type.shape.dim)


def _fixed(model: Any, shapes: Mapping[str, Sequence[int]]) -> Any:
    """The model for inputs of these shapes alone, with all that follows from them worked out."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for item in _inputs(fixed):
        for dim, size in zip(item.type.tensor_type.shape.dim, shapes[item.name]):
            dim.dim_value = size
    del fixed.graph.value_info[:]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            fold_constants(fixed.SerializeToString(), path)
        except Exception as error:
            tried = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
            raise RefusedError(
                f"ONNX Runtime does not take {tried}: {first_line(error)}", OTHER_SIZES
            ) from error
        return onnx.load(str(path))


def _opset(model: Any) -> int:
    return max((item.version for item in model.opset_import if item.domain in _OWN_DOMAINS), default=0)


def _downgraded(model: Any) -> Any:
    """The same in the newest operator set that x2paddle knows, if ONNX can say it in that; else as it is."""
    # The version converter of onnx 1.17.0 takes axes that are stored as raw bytes for none, and says nothing.
    held = (item.t for node in model.graph.node if node.op_type == "Constant" for item in node.attribute)
    for tensor in (*model.graph.initializer, *held):
        if tensor.data_type == onnx.TensorProto.INT64 and tensor.HasField("raw_data"):
            values = numpy_helper.to_array(tensor).ravel().tolist()
            tensor.ClearField("raw_data")
            tensor.int64_data[:] = values
    try:
        return version_converter.convert_version(model, _NEWEST_OPSET)
    except Exception as error:
        sys.stdout.write(f"not to be had in operator set {_NEWEST_OPSET}: {first_line(error)}\n")
        return model


def _say_less(model: Any) -> None:
    """Leave out that windows of pooling have no gaps, which PyTorch 2 says: x2paddle takes nothing said of gaps."""
    for node in model.graph.node:
        if node.op_type == "MaxPool":
            said = [item for item in node.attribute if item.name != "dilations" or set(item.ints) != {1}]
            del node.attribute[:]
            node.attribute.extend(said)


def _plainly_named(original: Any, prefix: str) -> tuple[Any, dict[str, str]]:
    """A copy with plain, distinct names of tensors, and what each was called before.

    x2paddle makes names part of a Python program and runs it. It would make `a.b` and `a/b` one, and run what a name
    says.
    """
    model = onnx.ModelProto()
    model.CopyFrom(original)
    # x2paddle takes the first for that of ONNX's own operators.
    model.opset_import.sort(key=lambda item: item.domain not in _OWN_DOMAINS)
    graph = model.graph
    plain: dict[str, str] = {"": ""}

    def named(name: str) -> str:
        return plain.setdefault(name, f"{prefix}_{len(plain)}")

    for item in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        item.name = named(item.name)
    for node in graph.node:
        for group in (node.input, node.output):
            group[:] = [named(name) for name in group]
    return model, {new: old for old, new in plain.items()}


def _translate(model: Any, names: Mapping[str, str], target: Path) -> None:
    """Have x2paddle write the Paddle model into `target`; `names` are those of the user's, by the plain ones."""
    from x2paddle import convert as x2paddle
    from x2paddle.op_mapper.onnx2paddle.onnx_op_mapper import ONNXOpMapper

    ONNXOpMapper.op_checker = _refuse_unsupported
    folder = target / "x2paddle"
    folder.mkdir()
    onnx.save(model, str(folder / "model.onnx"))
    try:
        # Without `disable_feedback` it tells a server of its makers.
        x2paddle.onnx2paddle(str(folder / "model.onnx"), str(folder), disable_feedback=True)
    except RefusedError:
        raise
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        raise RefusedError(_untranslated(error, names)) from error
    for suffix in (".pdmodel", ".pdiparams"):
        if not (folder / "inference_model" / f"model{suffix}").is_file():
            raise RefusedError("the model has no weights, so there is nothing to deploy")
        shutil.move(str(folder / "inference_model" / f"model{suffix}"), str(target))
    shutil.rmtree(folder)


def _untranslated(error: BaseException, names: Mapping[str, str]) -> str:
    """What x2paddle failed with, in the user's names."""
    # It prints what is wrong with a program that it wrote, and exits with 0; elsewhere it names the operator alone.
    chain = [item for item in (error, error.__context__) if item is not None]
    told = ", after ".join(
        first_line(item) for item in (chain[-1:] if isinstance(error, SystemExit) else chain)
    )
    told = re.sub(rf"(?:{_PREFIX})?((?:open|fixed)_\d+)", lambda found: names.get(found[1], found[0]), told)
    return f"x2paddle {importlib.metadata.version('x2paddle')} cannot convert the model: {told}"


def _refuse_branches(model: Any) -> None:
    """Before x2paddle would: what is within them has names of tensors, too."""
    holders = {
        node.op_type for node in model.graph.node if any(item.HasField("g") for item in node.attribute)
    }
    if holders:
        raise UnknownOperatorError(
            f"x2paddle does not know these operators of the model, its loops and branches: {', '.join(sorted(holders))}"
        )


def _refuse_unsupported(mapper: Any) -> bool:
    """In the place of x2paddle's own check, which prints the operators and raises an error without them."""
    known, graph = mapper.opset, mapper.graph
    types = {graph.get_node(name).layer_type for name in graph.topo_sort}
    others = [
        name
        for name in sorted(types)
        if not (hasattr(known, name) or name in known.directly_map_ops or name in known.elementwise_ops)
    ]
    if others:
        raise UnknownOperatorError(
            f"x2paddle does not know these operators of the model: {', '.join(others)}"
        )
    return True
