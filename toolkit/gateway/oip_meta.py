"""What the server and its models say of themselves in the Open Inference Protocol, over REST and gRPC alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import toolkit
from toolkit.gateway.catalog import ModelInfo, TensorInfo
from toolkit.oip import VERSION

_PIPELINE = "paddle_serving_pipeline"
_ENGINES = {"paddle": "paddle_inference", "openvino": "openvino"}


def server() -> dict[str, Any]:
    """The fields of ServerMetadataResponse."""
    return {
        "name": "paddle-serving-toolkit",
        "version": toolkit.__version__,
        "extensions": ["binary_tensor_data"],
    }


def model(info: ModelInfo) -> dict[str, Any]:
    """The fields of ModelMetadataResponse."""
    return {
        "name": info.name,
        "versions": [VERSION],
        "platform": _PIPELINE if info.kind == "pipeline" else _ENGINES[info.engine],
        "inputs": _tensors(info.inputs),
        "outputs": _tensors(info.outputs),
    }


def _tensors(tensors: Iterable[TensorInfo]) -> list[dict[str, Any]]:
    return [{"name": item.name, "datatype": item.datatype, "shape": list(item.shape)} for item in tensors]
