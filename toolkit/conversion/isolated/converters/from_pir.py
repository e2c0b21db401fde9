"""A program of Paddle 3 (PIR) as an ONNX model, by paddle2onnx, compared with it in Paddle 3.

Runs in the environment of `requirements-pir.lock`, which has no polygraphy: paddle2onnx's command folds constants with
that, and it installs what it lacks from a server of its makers.
"""

from __future__ import annotations

import importlib.metadata
import json
import multiprocessing
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

import paddle2onnx.paddle2onnx_cpp2py_export as paddle2onnx

from .comparison import Side, Trials, compared
from .refusal import RefusedError, first_line
from .runtimes import fold_constants, onnx_session, paddle_answers, paddle_predictor

# x2paddle knows the sets to 15, and each operator in 13; paddle2onnx takes a newer one where it must.
_OPSET = 13
_VERSIONS = ("paddlepaddle", "paddle2onnx", "onnx", "onnxruntime")

# Dialects in a program's file, and what paddle2onnx 2.1.0 puts before the names of their operators.
_DIALECTS = {"0": "builtin_", "1": ""}
# What is no operator to paddle2onnx 2.1.0, or converted apart from the others.
_APART = {"data", "feed", "fetch", "print", "if", "while"}
# Operators under the names of Paddle 2, by which paddle2onnx 2.1.0 knows them.
_FORMER = {
    "add": "elementwise_add", "subtract": "elementwise_sub", "multiply": "elementwise_mul", "divide": "elementwise_div",
    "floor_divide": "elementwise_floordiv", "remainder": "elementwise_mod", "minimum": "elementwise_min",
    "maximum": "elementwise_max", "min": "reduce_min", "max": "reduce_max", "mean": "reduce_mean", "sum": "reduce_sum",
    "prod": "reduce_prod", "any": "reduce_any", "all": "reduce_all", "add_n": "sum", "matmul": "matmul_v2",
    "batch_norm_": "batch_norm", "hardswish": "hard_swish", "hardsigmoid": "hard_sigmoid", "topk": "top_k_v2",
    "argmax": "arg_max", "argmin": "arg_min", "arange": "range", "numel": "size", "nonzero": "where_index",
    "expand": "expand_v2", "unsqueeze": "unsqueeze2", "flatten": "flatten_contiguous_range",
    "assign_value_": "assign_value", "grid_sample": "grid_sampler",
    "repeat_interleave_with_tensor_index": "repeat_interleave",
}  # fmt: skip


def convert(program: str, weights: str, target: str, trials: Trials) -> dict[str, Any]:
    """Convert and compare.

    Args:
        program: the `.json` file; `weights`: its `.pdiparams`.
        target: an empty directory, which gets `model.onnx`.
        trials: shapes of all inputs by their names, for each comparison.

    Returns:
        `versions` of the packages, and `trials` as `compared` gives them.

    Raises:
        RefusedError: the model cannot be converted, or answers otherwise than in Paddle 3.
    """
    model = Path(target) / "model.onnx"
    obstacle = _export(program, weights, model)
    # Paddle tells best of weights that do not fit, so it comes first.
    predictor = _predictor(program, weights)
    if obstacle is not None:
        raise RefusedError(obstacle)
    _fold(model)
    session = onnx_session(str(model))
    inputs = [item.name for item in session.get_inputs()]
    if set(inputs) != set(predictor.get_input_names()):
        raise RefusedError(
            f"the ONNX model has the inputs {', '.join(inputs)}, the program "
            f"{', '.join(predictor.get_input_names())}"
        )
    expected = Side("Paddle 3", lambda feed: paddle_answers(predictor, feed))
    found = Side("the ONNX model", lambda feed: session.run(None, dict(feed)))
    return {
        "versions": {name: importlib.metadata.version(name) for name in _VERSIONS},
        "trials": list(compared(expected, found, session, trials)),
    }


def _fold(model: Path) -> None:
    """Fold the constants of the file `model`, without which x2paddle loses the rank of many tensors of open sizes."""
    content = model.read_bytes()
    model.unlink()
    try:
        fold_constants(content, model)
    except Exception as error:
        raise RefusedError(
            f"ONNX Runtime does not load what paddle2onnx made: {first_line(error)}"
        ) from error


def _predictor(program: str, weights: str) -> Any:
    try:
        return paddle_predictor(Path(program), Path(weights))
    except Exception as error:
        raise RefusedError(
            f"Paddle 3 does not load the program with its weights: {first_line(error)}",
            "copy the .json and the .pdiparams again, as they were exported together; of a newer Paddle than "
            f"{importlib.metadata.version('paddlepaddle')}, export again with `export FLAGS_enable_pir_api=0`",
        ) from error


def _export(program: str, weights: str, model: Path) -> Optional[str]:
    """Have paddle2onnx write `model`, in a process of its own, since it aborts where it cannot; then, why it did."""
    with tempfile.TemporaryFile() as output:
        arguments = (program, weights, model, output.fileno())
        exporting = multiprocessing.get_context("fork").Process(target=_exported, args=arguments)
        exporting.start()
        exporting.join()
        output.seek(0)
        said = output.read().decode("utf-8", errors="replace")
    sys.stdout.write(said)
    if model.is_file():
        return None
    return _why(program, exporting.exitcode or 0, said)


def _exported(program: str, weights: str, model: Path, output: int) -> None:
    for stream in (1, 2):
        os.dup2(output, stream)
    # Not `paddle2onnx.export`, which goes on to polygraphy.
    made = paddle2onnx.export(
        program,
        weights,
        _OPSET,
        True,  # a newer set where an operator needs one
        False,  # says little
        True,  # checks the result
        True,  # operators that it calls experimental: `while`
        True,  # merges operators
        {},  # custom operators
        "onnxruntime",
        "",  # file for calibration
        "",  # file for weights outside of the model
        False,  # as float16
    )
    if made:
        model.write_bytes(made)


def _why(program: str, code: int, said: str) -> str:
    converter = f"paddle2onnx {importlib.metadata.version('paddle2onnx')}"
    unknown = sorted(set(_unknown(json.loads(Path(program).read_text(encoding="utf-8"))["program"])))
    if "unsupported operators" in said and unknown:
        return f"{converter} does not know these operators of the program: {', '.join(unknown)}"
    told = re.findall(r"\[ERROR\](?:\[Paddle2ONNX\])?\s*(.+)", said)
    if told:
        return f"{converter} cannot convert the program: {' '.join(told)}"
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else "gave nothing"
    return f"{converter} cannot convert the program: it {how}"


def _unknown(holder: Mapping[str, Any]) -> Iterator[str]:
    """The operators of a program, or within one of its operators, that paddle2onnx does not list; their own names."""
    known = set(paddle2onnx.get_all_supported_operators_pir())
    for region in holder["regions"]:
        for block in region["blocks"]:
            for op in block["ops"]:
                dialect, _, name = str(op["#"]).partition(".")
                if name not in _APART and dialect in _DIALECTS and _listed(dialect, name) not in known:
                    yield name
                yield from _unknown(op) if "regions" in op else ()


def _listed(dialect: str, name: str) -> str:
    own = _DIALECTS[dialect] + name
    return _FORMER.get(own, own)
