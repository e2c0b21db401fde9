"""export: the FP32 inference model and its signature, from wherever the spec says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit import child
from toolkit.child import Progress
from toolkit.engines import files
from toolkit.spec import ModelSpec, PipelineSpec
from toolkit.spec.load import source_directory
from toolkit.stages.context import Context
from toolkit.store import digest
from toolkit.store.artifact import Artifact


def run(context: Context, name: str) -> Artifact:
    """The FP32 model `name`, under the pipeline's names for inputs and outputs, probed.

    Raises:
        ModelError: the source is missing, damaged, of Paddle 3, or the probe inference fails.
    """
    model = context.spec.models[name]
    return context.artifact(
        "export",
        name,
        {
            "source": source_digest(context, name),
            "inputs": {key: list(shape) for key, shape in model.inputs.items()},
            "order": list(model.inputs),
            "outputs": list(model.outputs),
            "packages": digest.of_packages(["paddlepaddle"]),
        },
        (Path(__file__),),
        lambda target, progress: _export(context, name, target, progress),
    )


def source_files(spec: PipelineSpec, name: str) -> list[Path]:
    """Program and weights that a model is read from; none of a layer, nor where each weight has a file of its own.

    Raises:
        ModelError: one is missing.
    """
    source = spec.models[name].source
    if source.layer is not None:
        return []
    found = files.find(source_directory(source, spec.directory), source.model, source.params)
    return [] if found.params.is_dir() else [found.model, found.params]


def source_digest(context: Context, name: str) -> Any:
    """SHA-256 of program and weights as they came; of a layer what it is made from."""
    source = context.spec.models[name].source
    if source.layer is None:
        found = files.find(source_directory(source, context.spec.directory), source.model, source.params)
        of_params = digest.of_tree if found.params.is_dir() else digest.of_file
        return [digest.of_file(found.model), of_params(found.params)]
    weights = digest.of_file(context.spec.directory / source.weights) if source.weights else None
    return [source.model_dump(mode="json"), weights, context.pipeline_code()]


def _export(context: Context, name: str, target: Path, progress: Progress) -> Mapping[str, Any]:
    model = context.spec.models[name]
    function, arguments = _call(context, model)
    arguments.update(
        target=str(target),
        inputs={key: list(shape) for key, shape in model.inputs.items()},
        outputs=model.outputs,
    )
    return dict(child.call(function, arguments, log=context.logs / f"export-{name}.log", progress=progress))


def _call(context: Context, model: ModelSpec) -> tuple[str, dict[str, Any]]:
    source, directory = model.source, context.spec.directory
    if source.layer is None:
        return "toolkit.engines.export:from_directory", {
            "directory": str(source_directory(source, directory)),
            "model_file": source.model,
            "params_file": source.params,
        }
    return "toolkit.engines.export:from_layer", {
        "layer": source.layer,
        "arguments": dict(source.arguments),
        "weights": str(directory / source.weights) if source.weights else None,
        "tensors": [item.model_dump() for item in source.inputs],
        "search_path": str(directory),
    }
