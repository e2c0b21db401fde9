"""calibrate: statistics of the activations, from one pass over the calibration data as the model is served with it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np

from toolkit import child, pipeline
from toolkit.child import Progress
from toolkit.data import dataset
from toolkit.data.labels import Sample
from toolkit.engines.collect import Collector
from toolkit.errors import DataError
from toolkit.evaluation import judges
from toolkit.pipeline import Arrays, Step
from toolkit.quantization import statistics
from toolkit.quantization.statistics import TensorStatistics
from toolkit.stages import dataset as dataset_stage
from toolkit.stages import optimize
from toolkit.stages.context import Context, machine
from toolkit.store.artifact import Artifact

STATISTICS = "statistics.npz"
# Batches that are kept, for probes and checks on real inputs.
_KEPT = 4


def run(context: Context, name: str, source: Optional[Artifact] = None) -> Artifact:
    """The calibration of the model `name`: its statistics, and up to four of the batches, `batch_000.npz`, ...

    Args:
        source: the FP32 model to calibrate; None: the optimized one.

    Raises:
        DataError: the calibration data yields no batch.
        ModelError: the model has nothing to quantize, or an inference fails.
    """
    data = dataset_stage.run(context)
    source = source or optimize.run(context, name)
    model = context.spec.models[name]
    return context.artifact(
        "calibrate",
        name,
        {
            "model": source.key,
            "data": data.digest,
            "pipeline": context.pipeline_code(),
            "step": [model.step, model.options, *context.spec.judge_of(name)],
            "samples": model.quantize.samples,
            **machine(),
        },
        (Path(__file__), Path(statistics.__file__)),
        lambda target, progress: _calibrate(context, name, source, data.directory, target, progress),
    )


def _calibrate(
    context: Context, name: str, source: Artifact, data: Path, target: Path, progress: Progress
) -> Mapping[str, Any]:
    arguments = {
        **context.step_of(name),
        "source": str(source.path),
        "data": str(data),
        "limit": context.spec.models[name].quantize.samples,
        "target": str(target),
    }
    log = context.logs / f"calibrate-{name}.log"
    return dict(child.call("toolkit.stages.calibrate:calibrate", arguments, log=log, progress=progress))


def calibrate(
    source: str,
    pipeline_dir: str,
    step: tuple[str, Mapping[str, Any]],
    judge: tuple[str, Mapping[str, Any]],
    data: str,
    limit: int,
    target: str,
    progress: Progress,
) -> dict[str, Any]:
    """In the child: run up to `limit` batches, taken evenly from the calibration samples, one in memory at a time.

    Returns:
        Numbers of batches, of samples that gave them, and of tensors; seconds of the inferences and in all; warnings.
    """
    begin = time.perf_counter()
    stage: Step = pipeline.resolve(Path(pipeline_dir), step[0])(step[1])
    truth = judges.make(pipeline_dir, judge)
    samples = dataset.load(Path(data)).calibration
    kept, used, batches = Kept(), 0, 0
    empty: list[str] = []
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        collector = Collector(Path(source), Path(scratch))
        for sample, feeds in batches_of(samples, lambda item: stage.preprocess(truth.payload(item)), limit):
            for feed in feeds:
                collector.update(feed)
                kept.offer(feed)
                batches += 1
                progress(batches, limit)
            used += 1 if feeds else 0
            empty += [] if feeds else [sample.name]
    if not batches:
        raise DataError(
            "the calibration data yields no batch",
            where=data,
            remedy="give samples in which the model has something to do",
        )
    statistics.save(collector.statistics, Path(target) / STATISTICS)
    for number, feed in enumerate(kept.chosen()):
        np.savez(Path(target) / f"batch_{number:03d}.npz", **feed)
    return {
        "batches": batches,
        "samples": used,
        "tensors": len(collector.statistics),
        "inference_seconds": round(collector.seconds, 3),
        "seconds": round(time.perf_counter() - begin, 3),
        "warnings": _warnings(collector.statistics, empty),
    }


def batches_of(
    samples: Sequence[Sample], preprocess: Callable[[Sample], Sequence[Arrays]], limit: int
) -> Iterator[tuple[Sample, Sequence[Arrays]]]:
    """Samples, evenly from all of them, each with its share of `limit` batches, until there are as many.

    What a sample lacks of its share falls to those after it; few samples with many lines do not crowd out the rest.
    """
    rounds = max(1, -(-len(samples) // limit))
    order = [sample for first in range(rounds) for sample in samples[first::rounds]]
    missing = limit
    for number, sample in enumerate(order):
        share = -(-missing // (len(order) - number))
        feeds = _spread(preprocess(sample), share, number)
        missing -= len(feeds)
        yield sample, feeds
        if missing == 0:
            return


def _spread(feeds: Sequence[Arrays], count: int, start: int) -> Sequence[Arrays]:
    """`count` of `feeds`, evenly from the `start`-th on around, so that narrow and wide batches both come."""
    if count >= len(feeds):
        return feeds
    return [feeds[(start + index * len(feeds) // count) % len(feeds)] for index in range(count)]


class Kept:
    """A few of however many batches: every n-th, where n doubles whenever there are twice as many as wanted."""

    def __init__(self) -> None:
        self._every, self._seen = 1, 0
        self._held: list[Arrays] = []

    def offer(self, feed: Arrays) -> None:
        """Take `feed` in, or pass it over."""
        if self._seen % self._every == 0:
            self._held.append(feed)
        self._seen += 1
        if len(self._held) == 2 * _KEPT:
            self._held, self._every = self._held[::2], 2 * self._every

    def chosen(self) -> list[Arrays]:
        """At most `_KEPT` batches, evenly from all that were offered."""
        places = np.linspace(0, len(self._held) - 1, min(_KEPT, len(self._held)))
        return [self._held[int(place)] for place in places]


def _warnings(found: Mapping[str, TensorStatistics], empty: Sequence[str]) -> list[str]:
    """What a user should know of the calibration data."""
    silent = [name for name, item in found.items() if item.absolute_maximum == 0.0]
    told = []
    if empty:
        told.append(f"samples that gave no batch: {_listed(empty)}")
    if silent:
        told.append(f"activations that were zero on all the calibration data: {_listed(silent)}")
    return told


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
