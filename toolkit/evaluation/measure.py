"""Measuring in the engine that serves: a model on its own, a pipeline by whole answers.

These functions run in child processes; they take and return what JSON can carry.
"""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from toolkit import pipeline
from toolkit.child import Progress
from toolkit.data import dataset
from toolkit.data.dataset import VALIDATION
from toolkit.data.labels import Sample
from toolkit.engines import model
from toolkit.engines.options import PredictorOptions
from toolkit.evaluation import judges
from toolkit.evaluation.judges import Agreement
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
        `counts`: (matched, predicted, truth) for each sample; `names` of the samples; `answers`, where they are
        what is compared; `memory_mb`: most that this
        process had in memory, with the engine and the pipeline's own code.
    """
    stage, truth = _make(pipeline_dir, step), judges.make(pipeline_dir, judge)
    run = _load(model_dir, options)
    samples = _samples(data, split, part)
    counts: list[Counts] = []
    answers: list[Any] = []
    for sample in samples:
        found = pipeline.run_step(stage, run, truth.payload(sample))
        counts.append(truth.counts(sample, found))
        if isinstance(truth, Agreement):
            answers.append(truth.answer(found))
        progress(len(counts), len(samples))
    return {
        "counts": [astuple(item) for item in counts],
        "names": [sample.name for sample in samples],
        "answers": answers,
        "memory_mb": _peak_memory(),
    }


def measure_pipeline(
    pipeline_dir: str,
    data: str,
    part: Sequence[int],
    models: Sequence[Mapping[str, Any]],
    response: str,
    judge: Named,
    progress: Progress,
) -> dict[str, Any]:
    """The whole pipeline on validation samples, from image to answer.

    Args:
        part: first, end and step of the samples' indices.
        models: for each step `model_dir`, `options` and `step`.

    Returns:
        `counts` for each sample; `answers`, as a client gets them; `names` and `images` of the samples.
    """
    steps = [
        (_make(pipeline_dir, item["step"]), _load(item["model_dir"], item["options"])) for item in models
    ]
    truth, respond = judges.make(pipeline_dir, judge), pipeline.resolve(Path(pipeline_dir), response)
    samples = _samples(data, VALIDATION, part)
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
        "images": [str(sample.file) for sample in samples],
    }


def _samples(data: str, split: str, part: Sequence[int]) -> tuple[Sample, ...]:
    return dataset.load(Path(data)).split(split)[slice(*part)]


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _make(pipeline_dir: str, named: Named) -> Any:
    reference, options = named
    return pipeline.resolve(Path(pipeline_dir), reference)(options)


def _load(model_dir: str, options: Mapping[str, Any]) -> Any:
    return model.load(Path(model_dir), PredictorOptions.from_json(options))
