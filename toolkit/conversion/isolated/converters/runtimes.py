"""ONNX Runtime and Paddle Inference, each in its own FP32 on the CPU: what answers are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from .refusal import RefusedError, first_line

_PROVIDER = "CPUExecutionProvider"


def onnx_session(model: str) -> Any:
    """The ONNX file `model` in ONNX Runtime.

    Raises:
        RefusedError: it does not load.
    """
    try:
        return onnxruntime.InferenceSession(model, providers=[_PROVIDER])
    except Exception as error:
        raise RefusedError(
            f"ONNX Runtime {onnxruntime.__version__} does not load the model: {first_line(error)}"
        ) from error


def fold_constants(model: bytes, target: Path) -> None:
    """Write the ONNX model `model` as `target`, with all that follows from its constants worked out.

    Raises:
        Exception: of ONNX Runtime, which does not load it.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(model, options, providers=[_PROVIDER])


def paddle_predictor(program: Path, weights: Path) -> Any:
    """A Paddle model in native FP32, which is what the toolkit holds everything else against."""
    from paddle import inference

    config = inference.Config(str(program), str(weights))
    config.disable_mkldnn()
    config.disable_glog_info()
    return inference.create_predictor(config)


def paddle_answers(predictor: Any, feed: Mapping[str, Any]) -> list[Any]:
    """The outputs, in the program's order."""
    for name, array in feed.items():
        predictor.get_input_handle(name).copy_from_cpu(np.ascontiguousarray(array))
    predictor.run()
    return [predictor.get_output_handle(name).copy_to_cpu() for name in predictor.get_output_names()]
