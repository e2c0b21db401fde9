"""quantize: the INT8 model, by PaddleSlim's post-training quantization on the frozen calibration set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit import child
from toolkit.child import Progress
from toolkit.stages import calibrate, export
from toolkit.stages.context import Context
from toolkit.store import digest
from toolkit.store.artifact import Artifact


def run(context: Context, name: str) -> Artifact:
    """The INT8 model of `name`: weights in INT8, with the scales of its activations.

    Raises:
        ModelError: PaddleSlim found nothing to quantize.
    """
    exported, batches = export.run(context, name), calibrate.run(context, name)
    options = context.spec.models[name].quantize
    return context.artifact(
        "quantize",
        name,
        {
            "model": exported.key,
            "batches": batches.key,
            "options": options.model_dump(mode="json", exclude={"kernels", "samples"}),
            "packages": digest.of_packages(["paddlepaddle", "paddleslim"]),
        },
        (Path(__file__),),
        lambda target, progress: _quantize(context, name, exported, batches, target, progress),
    )


def _quantize(
    context: Context, name: str, exported: Artifact, batches: Artifact, target: Path, progress: Progress
) -> Mapping[str, Any]:
    options = context.spec.models[name].quantize
    arguments = {
        "source": str(exported.path),
        "feeds": [str(path) for path in sorted(batches.path.glob("batch_*.npz"))],
        "target": str(target),
        **options.model_dump(mode="json", exclude={"kernels", "samples"}),
    }
    log = context.logs / f"quantize-{name}.log"
    return dict(child.call("toolkit.engines.ptq:quantize", arguments, log=log, progress=progress))
