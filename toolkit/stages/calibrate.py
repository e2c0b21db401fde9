"""calibrate: the calibration set, decoded and preprocessed to the shapes that are served, and frozen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toolkit import child, pipeline
from toolkit.child import Progress
from toolkit.data import dataset
from toolkit.errors import DataError
from toolkit.stages import dataset as dataset_stage
from toolkit.stages.context import Context, machine
from toolkit.store.artifact import Artifact


def run(context: Context, name: str) -> Artifact:
    """The batches that the model `name` is calibrated with: `batch_000.npz`, ..., arrays by input name.

    Raises:
        DataError: the calibration data yields no batch.
    """
    data = dataset_stage.run(context)
    model = context.spec.models[name]
    return context.artifact(
        "calibrate",
        name,
        {
            "data": data.digest,
            "pipeline": context.pipeline_code(),
            "step": [model.step, model.options, model.judge, context.spec.judge_options],
            "samples": model.quantize.samples,
            **machine(),
        },
        (Path(__file__),),
        lambda target, progress: _freeze(context, name, data.directory, target, progress),
    )


def _freeze(context: Context, name: str, data: Path, target: Path, progress: Progress) -> Mapping[str, Any]:
    model = context.spec.models[name]
    arguments = {
        "pipeline_dir": str(context.spec.directory),
        "step": [model.step, dict(model.options)],
        "judge": [model.judge, dict(context.spec.judge_options)],
        "data": str(data),
        "limit": model.quantize.samples,
        "target": str(target),
    }
    log = context.logs / f"calibrate-{name}.log"
    return dict(child.call("toolkit.stages.calibrate:freeze", arguments, log=log, progress=progress))


def freeze(
    pipeline_dir: str,
    step: tuple[str, Mapping[str, Any]],
    judge: tuple[str, Mapping[str, Any]],
    data: str,
    limit: int,
    target: str,
    progress: Progress,
) -> dict[str, Any]:
    """In the child: write up to `limit` batches, taken evenly from the calibration samples.

    Each sample gives at most its share of batches, so that few samples with many lines do not crowd out the rest.
    """
    stage = pipeline.resolve(Path(pipeline_dir), step[0])(step[1])
    truth = pipeline.resolve(Path(pipeline_dir), judge[0])(judge[1])
    samples = dataset.load(Path(data)).calibration
    share = max(1, -(-limit // len(samples)))
    shapes: list[dict[str, list[int]]] = []
    for number, sample in enumerate(samples):
        feeds = stage.preprocess(truth.payload(sample))
        for feed in _spread(feeds, min(share, limit - len(shapes)), number):
            np.savez(Path(target) / f"batch_{len(shapes):03d}.npz", **feed)
            shapes.append({key: list(array.shape) for key, array in feed.items()})
        progress(len(shapes), limit)
        if len(shapes) >= limit:
            break
    if not shapes:
        raise DataError(
            "the calibration data yields no batch", where=data, remedy="give images with labelled lines"
        )
    return {"batches": len(shapes), "shapes": shapes}


def _spread(feeds: list[Any], count: int, start: int) -> list[Any]:
    """`count` of `feeds`, evenly from the `start`-th on around, so that narrow and wide batches both come."""
    if count >= len(feeds):
        return feeds
    return [feeds[(start + index * len(feeds) // count) % len(feeds)] for index in range(count)]
