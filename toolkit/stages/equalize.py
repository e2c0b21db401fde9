"""equalize: the optimized model with the ranges of channels evened out between neighbouring layers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit import child
from toolkit.child import Progress
from toolkit.stages import optimize
from toolkit.stages.context import Context
from toolkit.store.artifact import Artifact


def run(context: Context, name: str) -> Artifact:
    """The FP32 model `name`, optimized and equalized; its info says how many `pairs` of layers there were."""
    source = optimize.run(context, name)
    return context.artifact(
        "equalize",
        name,
        {"model": source.key},
        (Path(__file__),),
        lambda target, progress: _equalize(context, name, source, target, progress),
    )


def _equalize(
    context: Context, name: str, source: Artifact, target: Path, progress: Progress
) -> Mapping[str, Any]:
    arguments = {"source": str(source.path), "target": str(target)}
    log = context.logs / f"equalize-{name}.log"
    return dict(child.call("toolkit.engines.equalization:write", arguments, log=log, progress=progress))
