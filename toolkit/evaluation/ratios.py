"""Metrics of a set: one figure from the records of its samples, however often each of them counts.

The weights are what makes resampling cheap: a bootstrap draw is a row that says how often each sample was drawn, and
all draws are computed at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from typing_extensions import Protocol

from toolkit.evaluation.metrics import Counts, Detections, Floats

_CHUNK = 500_000  # elements of an array at a time


class Metric(Protocol):
    """A figure in 0..1, higher is better."""

    def values(self, records: Sequence[Any], weights: Floats) -> Floats:
        """The figure of each set, (sets,); 0 where it is not defined.

        Args:
            weights: how often each sample is in each set, whole numbers: (sets, samples).
        """

    def truth(self, records: Sequence[Any]) -> int:
        """How many labelled results there are."""

    def step(self, records: Sequence[Any]) -> float:
        """How much one right result more or less changes the figure of the whole set."""


@dataclass(frozen=True)
class Ratio:
    """A ratio of two sums over `Counts`.

    Attributes:
        share: how often `matched` counts above the line.
        predicted: how often `predicted` counts below it.
        labelled: how often `truth` counts below it.
    """

    share: float
    predicted: float
    labelled: float

    def values(self, records: Sequence[Counts], weights: Floats) -> Floats:
        """One matrix product for all sets."""
        counts = [(item.matched, item.predicted, item.truth) for item in records]
        sums = weights @ np.array(counts, dtype=float).reshape(-1, 3)
        below = sums @ np.array([0, self.predicted, self.labelled])
        return np.divide(self.share * sums[:, 0], below, out=np.zeros(len(sums)), where=below > 0)

    def truth(self, records: Sequence[Counts]) -> int:
        """Labelled results of all samples."""
        return sum(item.truth for item in records)

    def step(self, records: Sequence[Counts]) -> float:
        """The figure of one result; the largest possible without any."""
        below = sum(self.predicted * item.predicted + self.labelled * item.truth for item in records)
        return min(1.0, self.share / below) if below else 1.0


@dataclass(frozen=True)
class MeanAveragePrecision:
    """COCO's mean average precision of `Detections`: over the classes that have truth, and over the thresholds.

    Average precision is the mean, at the 101 recalls 0, 0.01, ... 1, of the best precision at that recall or a higher
    one (Lin et al., Microsoft COCO, 2014, and pycocotools). Detections of equal score rank in the order of the samples.
    """

    def values(self, records: Sequence[Detections], weights: Floats) -> Floats:
        """In chunks of sets, each vectorised over sets and detections."""
        found = _Found.of(records)
        rows = max(1, _CHUNK // max(1, len(found.scores), len(records)))
        parts = [
            found.mean(np.asarray(weights[at : at + rows], float)) for at in range(0, len(weights), rows)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def truth(self, records: Sequence[Detections]) -> int:
        """Labelled boxes of all samples."""
        return sum(len(item.truth) for item in records)

    def step(self, records: Sequence[Detections]) -> float:
        """What a labelled box counts on average: less in a common class, more in a rare one."""
        return 1 / max(1, self.truth(records))


@dataclass(frozen=True)
class _Found:
    """All detections of a set, by falling score, as arrays; `truth` is (samples, classes with truth)."""

    owners: np.ndarray[Any, np.dtype[np.intp]]
    classes: np.ndarray[Any, np.dtype[np.intp]]
    scores: Floats
    right: Floats
    names: np.ndarray[Any, np.dtype[np.intp]]
    truth: Floats

    @classmethod
    def of(cls, records: Sequence[Detections]) -> _Found:
        scores = np.array([score for item in records for score in item.scores], dtype=float)
        order = np.argsort(-scores, kind="stable")
        owners = np.repeat(np.arange(len(records)), [len(item.scores) for item in records])
        classes = np.array([name for item in records for name in item.classes], dtype=int)
        right = np.array([flags for item in records for flags in item.right], dtype=float)
        names = np.unique(np.array([name for item in records for name in item.truth], dtype=int))
        truth = np.array([[item.truth.count(name) for name in names] for item in records], dtype=float)
        right = right.reshape(len(scores), -1 if len(scores) else 1)
        return cls(owners[order], classes[order], scores[order], right[order], names, truth)

    def mean(self, weights: Floats) -> Floats:
        """Over classes with truth in a set and over thresholds: (sets,)."""
        total, present = np.zeros(len(weights)), np.zeros(len(weights))
        for index, name in enumerate(self.names):
            labelled = weights @ self.truth[:, index]
            own = np.flatnonzero(self.classes == name)
            drawn = weights[:, self.owners[own]]
            seen = np.cumsum(drawn, axis=1)
            hits = [np.flatnonzero(flags) for flags in self.right[own].T]
            total += np.mean([_precision(drawn[:, at], seen[:, at], labelled) for at in hits], axis=0)
            present += labelled > 0
        return np.divide(total, present, out=np.zeros(len(weights)), where=present > 0)


def _precision(drawn: Floats, seen: Floats, labelled: Floats) -> Floats:
    """Average precision of one class at one threshold; at the right detections alone, where it can grow.

    Args:
        drawn: how often each right detection counts, by falling score: (sets, right detections).
        seen: how many detections, right or wrong, there are up to each.
        labelled: truths of each set: (sets,).
    """
    if not drawn.shape[1]:
        return np.zeros(len(drawn))
    hits = np.cumsum(drawn, axis=1)
    best = np.maximum.accumulate((hits / np.maximum(seen, 1))[:, ::-1], axis=1)[:, ::-1]
    # How many of the 101 recalls each detection is the first to reach; the first reaches recall 0 in any case.
    reached = np.floor(100 * hits / np.maximum(labelled, 1)[:, None] + 1e-9)
    return np.asarray(
        np.einsum("ij,ij->i", best, np.diff(reached, axis=1, prepend=-1)) / 101 * (labelled > 0)
    )


METRICS: Mapping[str, Metric] = {
    "hmean": Ratio(2, 1, 1),
    "recall": Ratio(1, 0, 1),
    "precision": Ratio(1, 1, 0),
    "mean_average_precision": MeanAveragePrecision(),
}
