"""convert: the chosen model of each step in Paddle Serving's format, verified by its own loader."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit import child
from toolkit.child import Progress
from toolkit.stages.context import PACKAGE, Context
from toolkit.stages.variants import Variant
from toolkit.store import digest
from toolkit.store.artifact import Artifact


def run(context: Context, variant: Variant) -> Artifact:
    """The serving directories of the model that `variant` runs.

    Raises:
        ModelError: Paddle Serving cannot load the result, or it gives other outputs.
    """
    shapes = {key: list(shape) for key, shape in context.spec.models[variant.model].inputs.items()}
    return context.artifact(
        "convert",
        variant.name,
        {
            "model": variant.source.key,
            "shapes": shapes,
            "packages": digest.of_packages(["paddlepaddle", "paddle-serving-app"]),
        },
        (Path(__file__), PACKAGE / "serving" / "format.py"),
        lambda target, progress: _convert(context, variant, shapes, target, progress),
    )


def _convert(
    context: Context, variant: Variant, shapes: Mapping[str, Any], target: Path, progress: Progress
) -> Mapping[str, Any]:
    # LocalPredictor ends its whole process group on an error, so this is for a child alone.
    arguments = {"source": str(variant.source.path), "target": str(target), "shapes": shapes}
    log = context.logs / f"convert-{variant.model}.log"
    return dict(child.call("toolkit.serving.format:convert", arguments, log=log, progress=progress))
