"""Times of several ways to do the same work, in pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_DRAWS, _CONFIDENCE = 10_000, 0.95


def table(seconds: Mapping[str, Sequence[Sequence[float]]], first: str) -> dict[str, dict[str, Any]]:
    """By way: `milliseconds` an image, and `times` as long as `first` takes, with `low` and `high`.

    Of the rounds of each image the median counts, and of these the mean over the images. The interval is a bootstrap
    over images, which are drawn together for both ways, with a confidence of 95 %.

    Args:
        seconds: by way, image and round.
    """
    medians = {way: np.median(np.array(rows), axis=1) for way, rows in seconds.items()}
    count = len(medians[first])
    drawn = np.random.default_rng(0).integers(count, size=(_DRAWS, count))
    rows = {}
    for way, times in medians.items():
        ratios = times[drawn].sum(axis=1) / medians[first][drawn].sum(axis=1)
        low, high = np.quantile(ratios, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
        rows[way] = {
            "milliseconds": 1000 * float(times.mean()),
            "times": float(times.sum() / medians[first].sum()),
            "low": float(low),
            "high": float(high),
        }
    return rows
