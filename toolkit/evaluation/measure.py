"""Measuring in the engine that serves: a model on its own by labels, a pipeline by whole answers, and time.

These functions run in child processes; they take and return what JSON can carry.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from toolkit import pipeline
from toolkit.child import Progress
from toolkit.data import dataset
from toolkit.data.labels import Sample
from toolkit.engines import model
from toolkit.engines.options import PredictorOptions
from toolkit.evaluation.metrics import Counts

Named = Sequence[Any]  # (reference, options)


def measure_model(
    pipeline_dir: str,
    data: str,
    split: str,
    part: Sequence[int],
    model_dir: str,
    options: Mapping[str, Any],
    step: Named,
    judge: Named,
    progress: Progress,
) -> dict[str, Any]:
    """One model on samples of a split, with the truth in the place of the models before it.

    Args:
        part: first, end and step of the samples' indices.

    Returns:
        `counts`: (matched, predicted, truth) for each sample; `names` of the samples; `memory_mb`: most that this
        process had in memory, with the engine and the pipeline's own code.
    """
    stage, truth = _make(pipeline_dir, step), _make(pipeline_dir, judge)
    run = _load(model_dir, options)
    samples = _samples(data, split, part)
    counts: list[Counts] = []
    for sample in samples:
        counts.append(truth.counts(sample, pipeline.run_step(stage, run, truth.payload(sample))))
        progress(len(counts), len(samples))
    return {
        "counts": [astuple(item) for item in counts],
        "names": [sample.name for sample in samples],
        "memory_mb": _peak_memory(),
    }


def measure_pipeline(
    pipeline_dir: str,
    data: str,
    models: Sequence[Mapping[str, Any]],
    response: str,
    judge: Named,
    progress: Progress,
) -> dict[str, Any]:
    """The whole pipeline on every validation sample, from image to answer.

    Args:
        models: for each step `model_dir`, `options` and `step`.

    Returns:
        `counts` for each sample; `answers`, as a client gets them; `names` and `images` of the samples.
    """
    steps = [
        (_make(pipeline_dir, item["step"]), _load(item["model_dir"], item["options"])) for item in models
    ]
    truth, respond = _make(pipeline_dir, judge), pipeline.resolve(Path(pipeline_dir), response)
    samples = dataset.load(Path(data)).validation
    answers: list[Any] = []
    counts: list[Counts] = []
    for sample in samples:
        payload = truth.payload(sample)
        for stage, run in steps:
            payload = pipeline.run_step(stage, run, payload)
        answers.append(respond(payload))
        counts.append(truth.counts(sample, answers[-1]))
        progress(len(counts), len(samples))
    return {
        "counts": [astuple(item) for item in counts],
        "answers": answers,
        "names": [sample.name for sample in samples],
        "images": [str(sample.image) for sample in samples],
    }


def measure_latency(
    pipeline_dir: str,
    data: str,
    candidates: Sequence[Mapping[str, Any]],
    step: Named,
    judge: Named,
    samples: int,
    feeds: int,
    rounds: int,
    progress: Progress,
) -> dict[str, Any]:
    """The time of an inference by each candidate, the candidates in turn, and how alike their outputs are.

    In turn and in one process, so that a ratio holds on a machine whose speed drifts. The first round warms up.

    Args:
        candidates: `model_dir` and `options` of each; the first is what the others' outputs are compared with.
        feeds: inferences of each sample at most, evenly from all that it takes.

    Returns:
        For each candidate `milliseconds` of an inference, on average over those of a sample and the median over
        samples and rounds; `p99` of the same (of few rounds: the worst); `cosine` of its outputs and the first's.
    """
    stage, truth = _make(pipeline_dir, step), _make(pipeline_dir, judge)
    runs = [_load(item["model_dir"], item["options"]) for item in candidates]
    chosen = dataset.load(Path(data)).search[:samples]
    batches = [_some(stage.preprocess(truth.payload(sample)), feeds) for sample in chosen]
    times: list[list[float]] = [[] for _ in runs]
    products = np.zeros((len(runs), 3))
    for turn in range(rounds + 1):
        for batch in filter(None, batches):
            reference: list[Any] = []
            for index, run in enumerate(runs):
                elapsed, outputs = _time(run, batch)
                if turn:
                    times[index].append(elapsed)
                else:
                    reference = reference or outputs
                    products[index] += _products(reference, outputs)
        progress(turn + 1, rounds + 1)
    return {
        "figures": [
            {
                "milliseconds": round(float(np.median(series)), 2),
                "p99": round(float(np.quantile(series, 0.99)), 2),
                "cosine": round(float(product[0] / max(np.sqrt(product[1] * product[2]), 1e-30)), 6),
            }
            for series, product in zip(times, products)
        ]
    }


def _time(run: Any, feeds: Sequence[Any]) -> tuple[float, list[Any]]:
    outputs = []
    started = time.perf_counter()
    for feed in feeds:
        outputs.append(run(feed))
    return (time.perf_counter() - started) * 1000 / len(feeds), outputs


def _some(feeds: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of `feeds`, evenly from all."""
    places = np.linspace(0, len(feeds) - 1, min(count, len(feeds)))
    return [feeds[int(place)] for place in places]


def _products(first: Sequence[Any], second: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Sums of products of all outputs, by position: of both, of the first with itself, of the second with itself."""
    total = np.zeros(3)
    for one, other in zip(first, second):
        for left, right in zip(one.values(), other.values()):
            a, b = (np.asarray(item, np.float64).ravel() for item in (left, right))
            total += (a @ b, a @ a, b @ b)
    return total


def _samples(data: str, split: str, part: Sequence[int]) -> tuple[Sample, ...]:
    return dataset.load(Path(data)).split(split)[slice(*part)]


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _make(pipeline_dir: str, named: Named) -> Any:
    reference, options = named
    return pipeline.resolve(Path(pipeline_dir), reference)(options)


def _load(model_dir: str, options: Mapping[str, Any]) -> Any:
    return model.load(Path(model_dir), PredictorOptions.from_json(options))
