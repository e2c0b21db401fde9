"""Converts an ONNX model with x2paddle, and compares the answers of both. A script, not a module of the toolkit's.

    python -I isolated.py REQUEST ANSWER

It runs in the environment of `requirements-onnx.lock` and imports nothing of the toolkit. REQUEST is a JSON file:

    model: the ONNX file
    target: an empty directory, which gets model.pdmodel and model.pdiparams
    trials: shapes of all inputs by their names, for each comparison

ANSWER, written whole or not at all, has `refused` (`message`, `remedy`), or `versions` of the packages, `opset` as
declared and as converted, the names of `inputs` by those in the Paddle program and of `outputs` in its order, why it is
`fixed` to the sizes of the first trial (null: it is not), and `trials`: each with its `shapes`, and `differences` by
output, or why ONNX Runtime did not run (`skipped`).
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import re
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper, version_converter

# By how much floats of an output may differ, as a share of its largest value, and beside that; see docs/onnx.md.
TOLERANCE, _LEAST = 1e-4, 1e-6

# The newest operator set that x2paddle 1.6.0 knows; it reads a newer one as if it were this.
_NEWEST_OPSET = 15
# What x2paddle puts before each name.
_PREFIX = "x2paddle_"
_VERSIONS = ("x2paddle", "onnx", "onnxruntime", "paddlepaddle")
_OWN_DOMAINS = ("", "ai.onnx")
_DTYPES = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16"}
_PROVIDER = "CPUExecutionProvider"
_PR_SET_PDEATHSIG = 1

_OTHERWISE = (
    "export the network from its framework again, with operator set 13 and fixed sizes (x2paddle knows the sets 7 to "
    "15); or from Paddle, with paddle.jit.save"
)

_OTHER_SIZES = (
    "give sizes that suit the model where it leaves any open: "
    "ARGS='--shape x=1,3,320,320', x the input's own name"
)

Trials = Sequence[Mapping[str, Sequence[int]]]


class RefusedError(Exception):
    """The model cannot be converted, or not be trusted after that."""

    def __init__(self, message: str, remedy: str = _OTHERWISE) -> None:
        super().__init__(message)
        self.remedy = remedy


class UnknownOperatorError(RefusedError):
    """The model has operators that x2paddle does not know, whatever its sizes."""


def convert(model: str, target: str, trials: Trials) -> dict[str, Any]:
    """Convert and compare; what ANSWER has.

    What x2paddle cannot do with open sizes is done with those of the first trial.

    Raises:
        RefusedError: the model cannot be converted, or answers otherwise than in ONNX Runtime.
    """
    session = _session(model)
    loaded = onnx.load(model)
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
    """Convert `model` and compare it with the original in `session`; what ANSWER has of that.

    Args:
        prefix: of all names; Paddle keeps those of parameters to the end of the process.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    plain, names = _plainly_named(model, prefix)
    _translate(plain, names, target)
    predictor = _predictor(target)
    inputs = {name: names[name.removeprefix(_PREFIX)] for name in predictor.get_input_names()}
    return {
        "inputs": inputs,
        "outputs": [item.name for item in session.get_outputs()],
        "fixed": None,
        "trials": list(_compared(session, predictor, inputs, trials)),
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
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = f"{folder}/model.onnx"
        try:
            onnxruntime.InferenceSession(fixed.SerializeToString(), options, providers=[_PROVIDER])
        except Exception as error:
            tried = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
            raise RefusedError(
                f"ONNX Runtime does not take {tried}: {_first_line(error)}", _OTHER_SIZES
            ) from error
        return onnx.load(options.optimized_model_filepath)


def _session(model: str) -> Any:
    try:
        return onnxruntime.InferenceSession(model, providers=[_PROVIDER])
    except Exception as error:
        raise RefusedError(
            f"ONNX Runtime {onnxruntime.__version__} does not load the model: {_first_line(error)}"
        ) from error


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
        sys.stdout.write(f"not to be had in operator set {_NEWEST_OPSET}: {_first_line(error)}\n")
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
        _first_line(item) for item in (chain[-1:] if isinstance(error, SystemExit) else chain)
    )
    told = re.sub(rf"(?:{_PREFIX})?((?:open|fixed)_\d+)", lambda found: names.get(found[1], found[0]), told)
    return f"x2paddle {importlib.metadata.version('x2paddle')} cannot convert the model: {told}"


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


def _predictor(folder: Path) -> Any:
    """The converted model in native FP32, which is what the toolkit holds everything else against."""
    from paddle import inference

    config = inference.Config(str(folder / "model.pdmodel"), str(folder / "model.pdiparams"))
    config.disable_mkldnn()
    config.disable_glog_info()
    return inference.create_predictor(config)


def _compared(
    session: Any, predictor: Any, inputs: Mapping[str, str], trials: Trials
) -> Iterator[dict[str, Any]]:
    """How far the answers to the same arrays are apart, for each trial.

    Raises:
        RefusedError: too far, or one of both does not answer.
    """
    generator = np.random.default_rng(0)
    reason = ""
    compared = False
    for shapes in trials:
        feed = {item.name: _values(generator, item.type, shapes[item.name]) for item in session.get_inputs()}
        tried = ", ".join(f"{name} {list(array.shape)}" for name, array in feed.items())
        try:
            expected = session.run(None, feed)
        except Exception as error:
            reason = _first_line(error)
            yield {"shapes": dict(shapes), "skipped": reason}
            continue
        compared = True
        found = _answers(predictor, {name: feed[own] for name, own in inputs.items()}, tried)
        outputs = [item.name for item in session.get_outputs()]
        differences = {
            name: _difference(name, left, right, tried) for name, left, right in zip(outputs, expected, found)
        }
        yield {"shapes": dict(shapes), "differences": differences}
    if not compared:
        raise RefusedError(
            f"the answers cannot be compared, since ONNX Runtime does not take {tried}: {reason}",
            _OTHER_SIZES,
        )


def _values(generator: Any, type_: str, shape: Sequence[int]) -> Any:
    """Floats are noise around a mean of its own for each sample and channel, since noise alone is the same to a network
    that averages; integers zeros and ones, which every vocabulary has; bytes anything.
    """
    if type_ in _DTYPES:
        means = generator.standard_normal([*shape[:2], *(1 for _ in shape[2:])])
        return (means + generator.standard_normal(shape)).astype(_DTYPES[type_])
    try:
        dtype = np.dtype(type_[len("tensor(") : -1])
    except TypeError:
        raise RefusedError(
            f"an input is of {type_}, for which no values can be made to compare answers with"
        ) from None
    return generator.integers(0, 256 if dtype == np.uint8 else 2, shape).astype(dtype)


def _answers(predictor: Any, feed: Mapping[str, Any], tried: str) -> list[Any]:
    """The outputs, in the program's order."""
    try:
        for name, array in feed.items():
            predictor.get_input_handle(name).copy_from_cpu(np.ascontiguousarray(array))
        predictor.run()
    except Exception as error:
        traceback.print_exc()
        raise RefusedError(
            f"the converted model does not run with {tried}, which ONNX Runtime does: {_first_line(error)}"
        ) from error
    return [predictor.get_output_handle(name).copy_to_cpu() for name in predictor.get_output_names()]


def _difference(name: str, expected: Any, found: Any, tried: str) -> float:
    """The largest, as a share of the largest value that is expected.

    Raises:
        RefusedError: it is more than may be.
    """
    if expected.shape != found.shape:
        raise RefusedError(
            f"the converted model gives {name} {list(found.shape)}, ONNX Runtime {list(expected.shape)}, with {tried}"
        )
    left, right = expected.astype("float64"), found.astype("float64")
    finite = np.isfinite(left)
    if not np.array_equal(left[~finite], right[~finite], equal_nan=True):
        raise RefusedError(
            f"of {name}, other values are infinite or no numbers than in ONNX Runtime, with {tried}"
        )
    largest = float(np.max(np.abs(left[finite]), initial=0))
    difference = float(np.max(np.abs(left[finite] - right[finite]), initial=0))
    allowed = TOLERANCE * largest + _LEAST if expected.dtype.kind == "f" else 0
    if not difference <= allowed:
        raise RefusedError(
            f"{name} of the converted model differs from ONNX Runtime's by up to {difference:.3g}, where the largest "
            f"value is {largest:.3g} and {allowed:.1g} may be, with {tried}"
        )
    return difference / largest if largest else 0.0


def _first_line(error: BaseException) -> str:
    """What an error says, without stack traces and the like; Paddle puts its sentence last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = next((line for line in lines if "Error:" in line), lines[0] if lines else "")
    kind = type(error).__name__
    return (told if told.startswith(f"{kind}:") else f"{kind}: {told}")[:400]


def main(request: str, answer: str) -> None:
    """Do what the file `request` says, and write `answer`."""
    # So that nothing is left when the toolkit is killed.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        outcome = convert(**json.loads(Path(request).read_text(encoding="utf-8")))
    except RefusedError as error:
        outcome = {"refused": {"message": str(error), "remedy": error.remedy}}
    partial = Path(f"{answer}.partial")
    partial.write_text(json.dumps(outcome), encoding="utf-8")
    partial.replace(answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
