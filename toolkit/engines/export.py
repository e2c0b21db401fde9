"""Bringing a model into the one form that every later stage reads; runs in a child process."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from toolkit.child import Progress
from toolkit.engines import files, model, predictor, program
from toolkit.engines.files import ModelFiles
from toolkit.engines.options import PredictorOptions
from toolkit.engines.signature import Signature
from toolkit.errors import ModelError


def from_directory(
    directory: str,
    model_file: Optional[str],
    params_file: Optional[str],
    target: str,
    inputs: Mapping[str, Sequence[int]],
    outputs: Sequence[str],
    progress: Progress,
) -> dict[str, Any]:
    """Copy the inference model in `directory` to `target`, checked and probed.

    Args:
        inputs: our name and the probe shape of each input.
        outputs: our name of each output.
    """
    del progress
    source = files.find(Path(directory), model_file, params_file)
    place = model.files_in(Path(target))
    if source.params.is_dir():
        program.gather(program.read(source.model), source.params, place.params)
        source = ModelFiles(source.model, place.params)
    else:
        shutil.copyfile(source.params, place.params)
    _check(source)
    shutil.copyfile(source.model, place.model)
    return _finish(Path(target), inputs, outputs)


def from_layer(
    layer: str,
    arguments: Mapping[str, Any],
    weights: Optional[str],
    tensors: Sequence[Mapping[str, Any]],
    search_path: str,
    target: str,
    inputs: Mapping[str, Sequence[int]],
    outputs: Sequence[str],
    progress: Progress,
) -> dict[str, Any]:
    """Export the `paddle.nn.Layer` that `layer` (`module:callable`) makes, through `paddle.jit.save`.

    Args:
        weights: a .pdparams file, or None for the layer's own initial weights.
        tensors: name, shape and dtype of each input.
        search_path: folder that modules are imported from first.
    """
    del progress
    import paddle

    # Random weights are the same each time that the layer is exported.
    paddle.seed(0)
    network = _make_layer(layer, arguments, search_path)
    if weights is not None:
        _load_weights(network, Path(weights))
    network.eval()
    try:
        spec = [paddle.static.InputSpec(item["shape"], item["dtype"], item["name"]) for item in tensors]
        paddle.jit.save(network, str(model.files_in(Path(target)).model.with_suffix("")), input_spec=spec)
    except Exception as error:
        raise ModelError(
            f"`layer: {layer}` cannot be exported: {type(error).__name__}: {error}",
            remedy="check `inputs:` of the source; paddle.jit.to_static says what a forward method may do",
        ) from error
    (Path(target) / "model.pdiparams.info").unlink(missing_ok=True)
    return _finish(Path(target), inputs, outputs)


def _make_layer(reference: str, arguments: Mapping[str, Any], search_path: str) -> Any:
    import paddle

    sys.path.insert(0, search_path)
    module, _, name = reference.partition(":")
    try:
        network = getattr(importlib.import_module(module), name)(**arguments)
    except Exception as error:
        raise ModelError(f"`layer: {reference}` failed: {type(error).__name__}: {error}") from error
    if not isinstance(network, paddle.nn.Layer):
        raise ModelError(f"`layer: {reference}` made a {type(network).__name__}, not a paddle.nn.Layer")
    return network


def _load_weights(network: Any, path: Path) -> None:
    import paddle

    try:
        state = paddle.load(str(path))
    except Exception as error:
        raise ModelError("the weights file cannot be read", where=str(path)) from error
    own = network.state_dict()
    missing, extra = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    shapes = [name for name in own if name in state and list(own[name].shape) != list(state[name].shape)]
    for problem, names in (("lack", missing), ("hold unknown", extra), ("have another shape of", shapes)):
        if names:
            raise ModelError(
                f"the weights do not fit the layer: they {problem} {', '.join(names[:5])}"
                + (f" and {len(names) - 5} more" if len(names) > 5 else ""),
                where=str(path),
            )
    network.set_state_dict(state)


def _check(source: ModelFiles) -> None:
    program.check_weights(program.read(source.model), source)


def _finish(target: Path, inputs: Mapping[str, Sequence[int]], outputs: Sequence[str]) -> dict[str, Any]:
    """Record the signature, run the probe, and say what was exported."""
    place = model.files_in(target)
    signature = name_tensors(target, list(inputs), outputs)
    arrays = probe(target, signature, inputs)
    signature = signature.answering({name: str(array.dtype) for name, array in arrays.items()})
    signature.write(target)
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    return {"signature": signature.to_json(), "bytes": place.size, "probe": shapes}


def name_tensors(target: Path, inputs: Sequence[str], outputs: Sequence[str]) -> Signature:
    """Give the inputs and outputs of the model in `target` the pipeline's names, and record its signature."""
    place = model.files_in(target)
    own = program.signature(program.read(place.model))
    program.rename(place.model, own.renaming(inputs, outputs))
    signature = program.signature(program.read(place.model))
    signature.write(target)
    return signature


def probe(target: Path, signature: Signature, inputs: Mapping[str, Sequence[int]]) -> predictor.Fetch:
    """Run one inference on constant noise and return the outputs.

    Raises:
        ModelError: it fails, or an output is not finite.
    """
    run = model.load(target, PredictorOptions())
    try:
        outputs = run(probe_feed(signature, inputs))
    except ModelError as error:
        raise ModelError(
            f"the probe inference with {dict(inputs)} failed: {error.message}",
            remedy="check the shapes under `inputs:` of the model in the pipeline spec",
        ) from error
    for name, array in outputs.items():
        if not np.isfinite(array).all():
            raise ModelError(f"the probe inference gave values that are not finite, in the output {name!r}")
    return outputs


def probe_feed(signature: Signature, inputs: Mapping[str, Sequence[int]]) -> predictor.Feed:
    """Arrays of the probe shapes: noise in -1..1 for floats, zeros for integers; always the same."""
    generator = np.random.default_rng(0)
    return {
        tensor.name: generator.uniform(-1, 1, inputs[tensor.name]).astype(tensor.dtype)
        if tensor.dtype.startswith("float")
        else np.zeros(inputs[tensor.name], dtype=tensor.dtype)
        for tensor in signature.inputs
    }
