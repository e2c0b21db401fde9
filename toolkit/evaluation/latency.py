"""How long an inference takes, in the engine that serves: candidates in turn with the reference.

In turn and in one process, so that a ratio of two times holds on a machine whose speed drifts. Runs in a child process.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Optional

import numpy as np

from toolkit import pipeline
from toolkit.child import Progress
from toolkit.data import dataset
from toolkit.engines import export, model, signature
from toolkit.engines.options import PredictorOptions
from toolkit.evaluation import judges
from toolkit.evaluation.metrics import Floats

Feeds = Sequence[Any]


def measure(
    pipeline_dir: str,
    data: str,
    candidates: Sequence[Mapping[str, Any]],
    shapes: Mapping[str, Sequence[int]],
    step: Sequence[Any],
    judge: Sequence[Any],
    samples: int,
    feeds: int,
    rounds: int,
    progress: Progress,
) -> dict[str, Any]:
    """The time of an inference by each candidate, and how alike their outputs are. The first round warms up.

    Args:
        candidates: `model_dir` and `options` of each; the first is what the others are compared with.
        shapes: probe shape of each input, to run where no sample of the search makes an inference.
        step: reference and options of the model's step; `judge` likewise.
        samples: of the search, so many that make an inference at all (a page without text has no line to read).
        feeds: inferences of each sample at most, evenly from all that it takes.

    Returns:
        `figures`, for each candidate: see `summary`, and `cosine` of its outputs and the first's; None: they have other
        shapes, since how much the model finds depends on its input.
    """
    runs = [
        model.load(Path(item["model_dir"]), PredictorOptions.from_json(item["options"]))
        for item in candidates
    ]
    stage = pipeline.resolve(Path(pipeline_dir), step[0])(step[1])
    truth = judges.make(pipeline_dir, judge)
    found = (stage.preprocess(truth.payload(sample)) for sample in dataset.load(Path(data)).search)
    probe = [export.probe_feed(signature.read(Path(candidates[0]["model_dir"])), shapes)]
    batches = chosen(found, samples, feeds) or [probe]
    times: Floats = np.zeros((len(runs), rounds, len(batches)))
    products = np.zeros((len(runs), 3))
    for turn in range(rounds + 1):
        for number, batch in enumerate(batches):
            reference: list[Any] = []
            for index, run in enumerate(runs):
                elapsed, outputs = _time(run, batch)
                if turn:
                    times[index, turn - 1, number] = elapsed
                else:
                    reference = reference or outputs
                    products[index] += _products(reference, outputs)
        progress(turn + 1, rounds + 1)
    return {
        "figures": [
            {**summary(times[0].ravel(), series.ravel()), "cosine": _cosine(product)}
            for series, product in zip(times, products)
        ]
    }


def chosen(found: Iterator[Feeds], samples: int, feeds: int) -> list[Feeds]:
    """The first `samples` of what samples feed that are not empty, at most `feeds` of each, evenly from all."""
    return [_some(item, feeds) for item in islice(filter(len, found), samples)]


def summary(reference: Floats, series: Floats) -> dict[str, float]:
    """Figures of one candidate's times against those of the reference, both in ms and in the same order.

    Returns:
        `milliseconds`: the median; `p99` (of few times: the worst); `ratio`: how many times as fast as the reference,
        the median of the ratios of times that were taken one after the other; `spread`: half of the interquartile
        range of those ratios, as a share of `ratio`.
    """
    ratios = reference / np.maximum(series, 1e-9)
    lower, middle, upper = np.quantile(ratios, (0.25, 0.5, 0.75))
    return {
        "milliseconds": round(float(np.median(series)), 2),
        "p99": round(float(np.quantile(series, 0.99)), 2),
        "ratio": round(float(middle), 4),
        "spread": round(float((upper - lower) / 2 / middle), 4),
    }


def _some(feeds: Feeds, count: int) -> Feeds:
    places = np.linspace(0, len(feeds) - 1, min(count, len(feeds)))
    return [feeds[int(place)] for place in places]


def _time(run: Any, feeds: Feeds) -> tuple[float, list[Any]]:
    """Milliseconds of an inference, on average over `feeds`, and the outputs."""
    outputs = []
    started = time.perf_counter()
    for feed in feeds:
        outputs.append(run(feed))
    return (time.perf_counter() - started) * 1000 / len(feeds), outputs


def _products(first: Sequence[Any], second: Sequence[Any]) -> Floats:
    """Sums of products of all outputs, by position: of both, of the first with itself, of the second with itself.

    Not a number where shapes differ.
    """
    total: Floats = np.zeros(3)
    for one, other in zip(first, second):
        for left, right in zip(one.values(), other.values()):
            a, b = (np.asarray(item, np.float64).ravel() for item in (left, right))
            total += (a @ b, a @ a, b @ b) if a.size == b.size else np.nan
    return total


def _cosine(product: Floats) -> Optional[float]:
    if np.isnan(product).any():
        return None
    return round(float(product[0] / max(np.sqrt(product[1] * product[2]), 1e-30)), 6)
