"""Paddle Serving's model directories, written natively; runs in a child process.

paddle-serving-client 0.9.0 brings a converter, but it imports `paddle.fluid`, which went with Paddle 2.5. The format
is small: the program and weights, and the protobuf message GeneralModelConfig as text and as bytes, once for the
server and once for the client (paddle_serving_client/io/__init__.py, `save_model`).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.child import Progress
from toolkit.engines import export, model, predictor, signature
from toolkit.engines.options import PredictorOptions
from toolkit.engines.signature import Signature, Tensor
from toolkit.errors import ModelError

SERVER, CLIENT = "serving_server", "serving_client"

# GeneralModelConfig's numbers for element types.
_TYPES = {
    "int64": 0,
    "float32": 1,
    "int32": 2,
    "float64": 3,
    "int16": 4,
    "float16": 5,
    "bfloat16": 6,
    "uint8": 7,
    "int8": 8,
    "bool": 9,
}


def convert(
    source: str, target: str, shapes: Mapping[str, Sequence[int]], progress: Progress
) -> dict[str, Any]:
    """Write `serving_server/` and `serving_client/` of the model in `source` below `target`, and verify them.

    Raises:
        ModelError: Paddle Serving cannot load what was written, or gives other outputs.
    """
    del progress
    known = signature.read(Path(source))
    server, client = Path(target) / SERVER, Path(target) / CLIENT
    server.mkdir()
    client.mkdir()
    for name in (model.MODEL_FILE, model.PARAMS_FILE, signature.SIGNATURE_FILE):
        shutil.copyfile(Path(source) / name, server / name)
    _write_config(known, server / "serving_server_conf")
    _write_config(known, client / "serving_client_conf")
    difference = _verify(Path(source), server, known, shapes)
    size = sum(path.stat().st_size for path in server.iterdir())
    return {"bytes": size, "max_difference": difference}


def _write_config(known: Signature, stem: Path) -> None:
    from google.protobuf import text_format

    config = _config(known)
    stem.with_name(stem.name + ".prototxt").write_text(text_format.MessageToString(config), encoding="utf-8")
    stem.with_name(stem.name + ".stream.prototxt").write_bytes(config.SerializeToString())


def _config(known: Signature) -> Any:
    from paddle_serving_app.proto import general_model_config_pb2 as messages

    config = messages.GeneralModelConfig()
    for tensor in known.inputs:
        _describe(config.feed_var.add(), tensor, "feed_type")
    for tensor in known.outputs:
        _describe(config.fetch_var.add(), tensor, "fetch_type")
    return config


def _describe(variable: Any, tensor: Tensor, type_field: str) -> None:
    if tensor.dtype not in _TYPES:
        raise ModelError(f"Paddle Serving has no element type {tensor.dtype}, which {tensor.name} has")
    variable.name = variable.alias_name = tensor.name
    variable.is_lod_tensor = tensor.lod_level > 0
    setattr(variable, type_field, _TYPES[tensor.dtype])
    # As the stock converter has it: only the dimensions that are fixed.
    variable.shape.extend(side for side in tensor.shape if side >= 0)


def _verify(source: Path, server: Path, known: Signature, shapes: Mapping[str, Sequence[int]]) -> float:
    """The largest difference between the model before and after, the latter run by Paddle Serving's own loader.

    Both in oneDNN without INT8 kernels, as LocalPredictor runs by default: here the files are compared, not how they
    are served.
    """
    # paddle_serving_server 0.9.0 makes its folder of logs where this process is, once it is imported.
    os.chdir(tempfile.gettempdir())
    from paddle_serving_app import local_predict

    feed = export.probe_feed(known, shapes)
    before = model.load(source, PredictorOptions(backend="onednn"))(feed)
    # As it is, LocalPredictor crashes on processors without AVX-512. This process ends after the conversion.
    create = local_predict.paddle_infer.create_predictor
    local_predict.paddle_infer.create_predictor = lambda config: create(predictor.safe(config))
    loaded = local_predict.LocalPredictor()
    loaded.load_model_config(str(server), ir_optim=True)
    lengths = {f"{item.name}.lod": [0, len(feed[item.name])] for item in known.inputs if item.lod_level}
    after = loaded.predict(
        feed={**feed, **lengths}, fetch=[tensor.name for tensor in known.outputs], batch=True
    )
    difference = max(float(np.abs(before[name] - after[name]).max()) for name in before)
    if not difference <= 1e-3:
        raise ModelError(
            f"the converted model gives other outputs: they differ by up to {difference}", where=str(server)
        )
    return difference
