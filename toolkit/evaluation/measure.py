"""Measuring in the engine that serves: a model on its own by labels, a pipeline by whole answers, and time.

These functions run in child processes; they take and return what JSON can carry.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from toolkit import pipeline
from toolkit.child import Progress
from toolkit.data import dataset
from toolkit.engines import model
from toolkit.engines.options import PredictorOptions
from toolkit.evaluation.metrics import Counts

Named = Sequence[Any]  # (reference, options)


def measure_model(
    pipeline_dir: str,
    data: str,
    model_dir: str,
    options: Mapping[str, Any],
    step: Named,
    judge: Named,
    progress: Progress,
) -> dict[str, Any]:
    """One model on every validation sample, with the truth in the place of the models before it.

    Returns:
        `counts`: (matched, predicted, truth) for each sample; `names` of the samples.
    """
    stage, truth = _make(pipeline_dir, step), _make(pipeline_dir, judge)
    run = model.load(Path(model_dir), PredictorOptions.from_json(options))
    samples = dataset.load(Path(data)).validation
    counts: list[Counts] = []
    for sample in samples:
        counts.append(truth.counts(sample, pipeline.run_step(stage, run, truth.payload(sample))))
        progress(len(counts), len(samples))
    return {"counts": [astuple(item) for item in counts], "names": [sample.name for sample in samples]}


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
        `counts` for each sample; `answers`, as a client gets them.
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
    return {"counts": [astuple(item) for item in counts], "answers": answers}


def measure_latency(
    pipeline_dir: str,
    data: str,
    candidates: Sequence[Mapping[str, Any]],
    step: Named,
    judge: Named,
    samples: int,
    rounds: int,
    progress: Progress,
) -> dict[str, Any]:
    """The time that each candidate's inferences take for a sample, the candidates in turn.

    In turn and in one process, so that a ratio holds on a machine whose speed drifts. The first round warms up.

    Args:
        candidates: `model_dir` and `options` of each.

    Returns:
        `milliseconds`: for each candidate the median over samples and rounds.
    """
    stage, truth = _make(pipeline_dir, step), _make(pipeline_dir, judge)
    runs = [_load(item["model_dir"], item["options"]) for item in candidates]
    chosen = dataset.load(Path(data)).validation[:samples]
    feeds = [stage.preprocess(truth.payload(sample)) for sample in chosen]
    times: list[list[float]] = [[] for _ in runs]
    for turn in range(rounds + 1):
        for batch in feeds:
            for index, run in enumerate(runs):
                elapsed = _time(run, batch)
                if turn:
                    times[index].append(elapsed)
        progress(turn + 1, rounds + 1)
    return {"milliseconds": [round(float(np.median(series)), 2) for series in times]}


def _time(run: Any, feeds: Sequence[Any]) -> float:
    started = time.perf_counter()
    for feed in feeds:
        run(feed)
    return (time.perf_counter() - started) * 1000


def _make(pipeline_dir: str, named: Named) -> Any:
    reference, options = named
    return pipeline.resolve(Path(pipeline_dir), reference)(options)


def _load(model_dir: str, options: Mapping[str, Any]) -> Any:
    return model.load(Path(model_dir), PredictorOptions.from_json(options))
