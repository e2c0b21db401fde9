"""Counts that add up over samples, and the ratios that come from them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Boxes = Sequence[Sequence[Sequence[float]]]


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
