"""optimize: the FP32 model with fewer operators, rewritten exactly and checked on real inputs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toolkit import child, pipeline
from toolkit.child import Progress
from toolkit.data import dataset
from toolkit.engines import optimize as engine
from toolkit.errors import DataError
from toolkit.stages import dataset as dataset_stage
from toolkit.stages import export
from toolkit.stages.context import Context, machine
from toolkit.store.artifact import Artifact

# Images that give inputs to check with, and inputs of each.
_SAMPLES = 2
_FEEDS = 2


def run(context: Context, name: str) -> Artifact:
    """The FP32 model `name`, rewritten: what is quantized, and served.

    Raises:
        DataError: the calibration data yields no input to check with.
    """
    exported, data = export.run(context, name), dataset_stage.run(context)
    model = context.spec.models[name]
    return context.artifact(
        "optimize",
        name,
        {
            "model": exported.key,
            "data": data.digest,
            "pipeline": context.pipeline_code(),
            "step": [model.step, model.options, model.judge, context.spec.judge_options],
            **machine(),
        },
        (Path(__file__),),
        lambda target, progress: _optimize(context, name, exported, data.directory, target, progress),
    )


def summary(info: Mapping[str, Any]) -> str:
    """What the stage did, in one line: "125 element-wise operations -> 27 (batch norm 3, affine 28)"."""
    taken = [f"{item['name']} {item['count']}" for item in info["rewrites"] if item["count"]]
    refused = [f"{item['name']} refused: {item['refused']}" for item in info["rewrites"] if item["refused"]]
    before, after = (info[moment]["elementwise"] for moment in ("before", "after"))
    done = ", ".join(taken) or "nothing to rewrite"
    return "; ".join([f"{before} element-wise operations -> {after} ({done})", *refused])


def _optimize(
    context: Context, name: str, exported: Artifact, data: Path, target: Path, progress: Progress
) -> Mapping[str, Any]:
    model = context.spec.models[name]
    arguments = {
        "pipeline_dir": str(context.spec.directory),
        "step": [model.step, dict(model.options)],
        "judge": [model.judge, dict(context.spec.judge_options)],
        "data": str(data),
        "source": str(exported.path),
        "target": str(target),
    }
    log = context.logs / f"optimize-{name}.log"
    return dict(child.call("toolkit.stages.optimize:rewrite", arguments, log=log, progress=progress))


def rewrite(
    pipeline_dir: str,
    step: tuple[str, Mapping[str, Any]],
    judge: tuple[str, Mapping[str, Any]],
    data: str,
    source: str,
    target: str,
    progress: Progress,
) -> dict[str, Any]:
    """In the child: preprocess a few calibration samples as the service would, and rewrite the model against them."""
    stage = pipeline.resolve(Path(pipeline_dir), step[0])(step[1])
    truth = pipeline.resolve(Path(pipeline_dir), judge[0])(judge[1])
    samples = dataset.load(Path(data)).calibration
    with tempfile.TemporaryDirectory() as folder:
        feeds: list[str] = []
        for feed in smallest(stage.preprocess(truth.payload(sample)) for sample in samples):
            feeds.append(str(Path(folder) / f"feed_{len(feeds)}.npz"))
            np.savez(feeds[-1], **feed)
        if not feeds:
            raise DataError(
                "the calibration data yields no input to check the rewritten model with",
                where=data,
                remedy="give images with labelled lines",
            )
        return engine.optimize(source, target, feeds, progress)


def smallest(feeds: Iterator[Sequence[pipeline.Arrays]]) -> list[pipeline.Arrays]:
    """The smallest few of each of the first samples that give any: rewriting is exact, so little says enough."""
    chosen: list[pipeline.Arrays] = []
    used = 0
    for given in feeds:
        chosen += sorted(given, key=lambda feed: sum(array.size for array in feed.values()))[:_FEEDS]
        used += bool(given)
        if used == _SAMPLES:
            break
    return chosen
