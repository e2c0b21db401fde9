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
from toolkit.engines import signature
from toolkit.engines.export import probe_feed
from toolkit.evaluation import judges
from toolkit.stages import dataset as dataset_stage
from toolkit.stages import export
from toolkit.stages.context import Context, machine
from toolkit.store.artifact import Artifact

# Images that give inputs to check with, and inputs of each.
_SAMPLES = 2
_FEEDS = 2

# What the rewrites were checked with.
SAMPLES, PROBE = "samples", "probe"


def run(context: Context, name: str) -> Artifact:
    """The FP32 model `name`, rewritten: what is quantized, and served.

    The rewrites are checked with inputs from the calibration samples, or, where these give none, with the probe.
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
            "step": [model.step, model.options, *context.spec.judge_of(name)],
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
    probed = (
        ["checked with noise: no calibration sample gives an input"] if info["checked_with"] == PROBE else []
    )
    return "; ".join([f"{before} element-wise operations -> {after} ({done})", *refused, *probed])


def _optimize(
    context: Context, name: str, exported: Artifact, data: Path, target: Path, progress: Progress
) -> Mapping[str, Any]:
    arguments = {
        **context.step_of(name),
        "data": str(data),
        "shapes": {key: list(shape) for key, shape in context.spec.models[name].inputs.items()},
        "source": str(exported.path),
        "target": str(target),
    }
    log = context.logs / f"optimize-{name}.log"
    info = dict(child.call("toolkit.stages.optimize:rewrite", arguments, log=log, progress=progress))
    context.console.say(f"  {name}: {summary(info)}")
    return info


def rewrite(
    pipeline_dir: str,
    step: tuple[str, Mapping[str, Any]],
    judge: tuple[str, Mapping[str, Any]],
    data: str,
    shapes: Mapping[str, Sequence[int]],
    source: str,
    target: str,
    progress: Progress,
) -> dict[str, Any]:
    """In the child: preprocess a few calibration samples as the service would, and rewrite the model against them.

    Args:
        shapes: probe shape of each input, for samples that give none, such as pages without labelled lines.

    Returns:
        See `toolkit.engines.optimize.optimize`; and `checked_with`, `SAMPLES` or `PROBE`.
    """
    stage = pipeline.resolve(Path(pipeline_dir), step[0])(step[1])
    truth = judges.make(pipeline_dir, judge)
    samples = dataset.load(Path(data)).calibration
    real = smallest(stage.preprocess(truth.payload(sample)) for sample in samples)
    with tempfile.TemporaryDirectory() as folder:
        feeds: list[str] = []
        for feed in real or [probe_feed(signature.read(Path(source)), shapes)]:
            feeds.append(str(Path(folder) / f"feed_{len(feeds)}.npz"))
            np.savez(feeds[-1], **feed)
        done = engine.optimize(source, target, feeds, progress)
    return {**done, "checked_with": SAMPLES if real else PROBE}


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
