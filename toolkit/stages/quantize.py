"""quantize: the INT8 model that one recipe makes of the optimized model and its statistics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit import child
from toolkit.child import Progress
from toolkit.quantization.recipe import Recipe
from toolkit.stages import calibrate, equalize, optimize
from toolkit.stages.context import PACKAGE, Context
from toolkit.store import digest
from toolkit.store.artifact import Artifact


def run(context: Context, name: str, recipe: Recipe) -> Artifact:
    """The INT8 model of `name`; its info says of each layer whether it runs in INT8, and with which thresholds.

    Raises:
        ModelError: there is nothing to quantize.
    """
    source, calibrated = sources(context, name, recipe)
    return context.artifact(
        "quantize",
        f"{name}-{recipe.digest[:4]}",
        {
            "model": source.key,
            "statistics": calibrated.key,
            "recipe": recipe.to_json(),
            "packages": digest.of_packages(["paddlepaddle"]),
        },
        (Path(__file__), PACKAGE / "quantization"),
        lambda target, progress: _quantize(context, name, recipe, source, calibrated, target, progress),
    )


def sources(context: Context, name: str, recipe: Recipe) -> tuple[Artifact, Artifact]:
    """The FP32 model that `recipe` begins with, and the calibration of that model."""
    base = equalize.run(context, name) if recipe.equalize else optimize.run(context, name)
    return base, calibrate.run(context, name, base)


def _quantize(
    context: Context,
    name: str,
    recipe: Recipe,
    source: Artifact,
    calibrated: Artifact,
    target: Path,
    progress: Progress,
) -> Mapping[str, Any]:
    arguments = {
        "source": str(source.path),
        "statistics": str(calibrated.path / calibrate.STATISTICS),
        "recipe": recipe.to_json(),
        "target": str(target),
    }
    log = context.logs / f"quantize-{name}.log"
    return dict(child.call("toolkit.engines.quantize:quantize", arguments, log=log, progress=progress))
