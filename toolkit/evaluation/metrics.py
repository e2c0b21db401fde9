"""What is right in one sample: counts that add up over samples, and the ratios that come from them.

The functions that count take the truth and what was found. The truth may be labels; or, where there are none, what
native FP32 answered: the ratios are the agreement with it then, and its own is one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Boxes = Sequence[Sequence[Sequence[float]]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Counts:
    """How much was right: `matched` of `predicted` results and of `truth` labelled ones."""

    matched: int
    predicted: int
    truth: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.matched + other.matched, self.predicted + other.predicted, self.truth + other.truth
        )

    @property
    def precision(self) -> float:
        """Share of the predictions that are right; 0 without predictions."""
        return self.matched / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the truth that was found; 0 without truth. With one prediction a label: accuracy."""
        return self.matched / self.truth if self.truth else 0.0

    @property
    def hmean(self) -> float:
        """Harmonic mean of precision and recall, as ICDAR's detection protocol has it."""
        both = self.predicted + self.truth
        return 2 * self.matched / both if both else 0.0


def total(counts: Iterable[Counts]) -> Counts:
    """The sum of `counts`."""
    return sum(counts, Counts(0, 0, 0))


def normalise(text: str) -> str:
    """`text` as lines are compared: without spaces and case, full-width forms as their plain twins."""
    return "".join(unicodedata.normalize("NFKC", text).split()).casefold()


def rectangles(boxes: Boxes) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Axis-aligned rectangles around `boxes`: (n, 4), left, top, right, bottom, in pixels."""
    if not len(boxes):
        return np.zeros((0, 4))
    return np.array([[*np.min(box, axis=0), *np.max(box, axis=0)] for box in boxes], dtype=float)


def overlaps(first: Boxes, second: Boxes) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Intersection over union of the rectangles around `first` (n) and `second` (m): (n, m)."""
    a, b = rectangles(first)[:, None], rectangles(second)[None]
    sides = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    shared = sides.prod(axis=-1)
    areas = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1)
    return np.asarray(shared / np.maximum(areas - shared, 1e-9))


def match(truth: Boxes, found: Boxes, threshold: float = 0.5) -> list[tuple[int, int]]:
    """Pairs (index in `truth`, index in `found`) that overlap by at least `threshold`.

    Greedy by falling overlap; each box is used once.
    """
    table = overlaps(truth, found)
    pairs: list[tuple[int, int]] = []
    taken: tuple[set[int], set[int]] = (set(), set())
    for flat in np.argsort(-table, axis=None, kind="stable"):
        row, column = divmod(int(flat), table.shape[1])
        if table[row, column] < threshold:
            break
        if row in taken[0] or column in taken[1]:
            continue
        taken[0].add(row)
        taken[1].add(column)
        pairs.append((row, column))
    return pairs


def boxes(truth: Boxes, found: Boxes, threshold: float = 0.5) -> Counts:
    """Boxes of `found` that overlap one of `truth` by at least `threshold`."""
    return Counts(len(match(truth, found, threshold)), len(found), len(truth))


def lines(
    truth: Boxes, truth_texts: Sequence[str], found: Boxes, found_texts: Sequence[str], threshold: float = 0.5
) -> Counts:
    """Boxes of `found` that lie on one of `truth` and say the same."""
    pairs = match(truth, found, threshold)
    same = sum(truth_texts[row] == found_texts[column] for row, column in pairs)
    return Counts(same, len(found), len(truth))


def equal(truth: Sequence[object], found: Sequence[object]) -> Counts:
    """Answers (texts, classes) that are the same as the truth at their place.

    Raises:
        ValueError: there are not as many answers as truths.
    """
    _as_many(truth, found)
    return Counts(sum(first == second for first, second in zip(truth, found)), len(found), len(truth))


def characters(truth: Sequence[str], found: Sequence[str]) -> Counts:
    """Characters that are right, by edit distance: of the longer of two texts, all but the distance.

    With sums on both sides any of the ratios is one less the normalised edit distance (as in ICDAR 2019's tasks, there
    averaged over texts). It is never below zero, other than one less the character error rate.

    Raises:
        ValueError: there are not as many texts found as truths.
    """
    _as_many(truth, found)
    longest = sum(max(len(first), len(second)) for first, second in zip(truth, found))
    wrong = sum(distance(first, second) for first, second in zip(truth, found))
    return Counts(longest - wrong, longest, longest)


def distance(first: str, second: str) -> int:
    """Levenshtein's distance: the fewest insertions, deletions and substitutions that make one the other."""
    if first == second:
        return 0
    above = list(range(len(second) + 1))
    for row, left in enumerate(first, 1):
        current = [row]
        for column, right in enumerate(second, 1):
            current.append(min(above[column] + 1, current[-1] + 1, above[column - 1] + (left != right)))
        above = current
    return above[-1]


def top(scores: Floats, labels: Sequence[int], k: int = 1) -> Counts:
    """Labels among the `k` classes with the highest of `scores` (n, classes); of equal scores the first class wins.

    A score that is not a number is never right.
    """
    table = np.asarray(scores, dtype=float)
    rows, columns = np.arange(len(table)), np.asarray(labels, dtype=int)
    own = table[rows, columns][:, None]
    earlier = np.arange(table.shape[1])[None] < columns[:, None]
    rank = ((table > own) | ((table == own) & earlier)).sum(axis=1)
    right = int(((rank < k) & ~np.isnan(own[:, 0])).sum())
    return Counts(right, len(table), len(table))


@dataclass(frozen=True)
class Detections:
    """What was found in one sample, class by class and with scores, for mean average precision.

    Attributes:
        classes: of each detection.
        scores: of each detection; higher is surer.
        right: for each detection whether it has its truth, at each of the overlaps that are asked for.
        truth: the class of each labelled box.
    """

    classes: tuple[int, ...]
    scores: tuple[float, ...]
    right: tuple[tuple[bool, ...], ...]
    truth: tuple[int, ...]


def detections(
    truth: Boxes,
    truth_classes: Sequence[int],
    found: Boxes,
    classes: Sequence[int],
    scores: Sequence[float],
    thresholds: Sequence[float] = (0.5,),
) -> Detections:
    """Detections matched as COCO's protocol does it, without its crowds, size ranges and limit of 100.

    By falling score, each takes the box of its class that it overlaps most of those still free, by at least a
    threshold. COCO's own `thresholds` are 0.5, 0.55 to 0.95.
    """
    table = overlaps(truth, found)
    other = np.asarray(truth_classes)[:, None] != np.asarray(classes)[None]
    table[np.broadcast_to(other, table.shape)] = 0
    order = np.argsort(-np.asarray(scores, dtype=float), kind="stable")
    columns = [_taken(table, order, threshold) for threshold in thresholds]
    right = tuple(tuple(bool(column[index]) for column in columns) for index in range(len(scores)))
    return Detections(
        tuple(map(int, classes)), tuple(map(float, scores)), right, tuple(map(int, truth_classes))
    )


def _taken(table: Floats, order: Iterable[int], threshold: float) -> list[bool]:
    """For each detection (column of `table`) whether it gets a truth (row), when they choose in `order`."""
    free = table.copy()
    taken = [False] * table.shape[1]
    for column in order if len(table) else ():
        row = int(np.argmax(free[:, column]))
        if free[row, column] >= threshold:
            free[row] = 0
            taken[column] = True
    return taken


def _as_many(truth: Sequence[object], found: Sequence[object]) -> None:
    if len(truth) != len(found):
        raise ValueError(f"{len(found)} answers for {len(truth)} truths")
