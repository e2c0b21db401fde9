"""quantize: the INT8 model that one recipe makes of the optimized model and its statistics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit import child
from toolkit.child import Progress
from toolkit.quantization.recipe import Recipe
from toolkit.stages import calibrate, optimize
from toolkit.stages.context import PACKAGE, Context
from toolkit.store import digest
from toolkit.store.artifact import Artifact


def run(context: Context, name: str, recipe: Recipe) -> Artifact:
    """The INT8 model of `name`; its info says of each layer whether it runs in INT8, and with which thresholds.

    Raises:
        ModelError: there is nothing to quantize.
    """
    optimized, calibrated = optimize.run(context, name), calibrate.run(context, name)
    return context.artifact(
        "quantize",
        f"{name}-{recipe.digest[:4]}",
        {
            "model": optimized.key,
            "statistics": calibrated.key,
            "recipe": recipe.to_json(),
            "packages": digest.of_packages(["paddlepaddle"]),
        },
        (Path(__file__), PACKAGE / "quantization"),
        lambda target, progress: _quantize(context, name, recipe, optimized, calibrated, target, progress),
    )


def _quantize(
    context: Context,
    name: str,
    recipe: Recipe,
    optimized: Artifact,
    calibrated: Artifact,
    target: Path,
    progress: Progress,
) -> Mapping[str, Any]:
    arguments = {
        "source": str(optimized.path),
        "statistics": str(calibrated.path / calibrate.STATISTICS),
        "recipe": recipe.to_json(),
        "target": str(target),
    }
    log = context.logs / f"quantize-{name}.log"
    return dict(child.call("toolkit.engines.quantize:quantize", arguments, log=log, progress=progress))
