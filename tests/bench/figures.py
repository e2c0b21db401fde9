"""Times of several ways to do the same work, in pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_DRAWS, _CONFIDENCE = 10_000, 0.95

# By item, and of each by round.
Seconds = Sequence[Sequence[float]]


def table(seconds: Mapping[str, Seconds], first: str) -> dict[str, dict[str, Any]]:
    """By way: `milliseconds` an image, and `times` as long as `first` takes, with `low` and `high`; see `ratio`.

    Args:
        seconds: by way, image and round.
    """
    return {
        way: {
            "milliseconds": 1000 * float(_medians(rows).mean()),
            **dict(zip(("times", "low", "high"), ratio(rows, seconds[first]))),
        }
        for way, rows in seconds.items()
    }


def ratio(one: Seconds, other: Seconds) -> tuple[float, float, float]:
    """How many times as long `one` takes as `other`, and the ends of the interval with a confidence of 95 %.

    Of the rounds of each item the median counts. The interval is a bootstrap over items, which are drawn together for
    both.
    """
    first, second = _medians(one), _medians(other)
    drawn = np.random.default_rng(0).integers(len(first), size=(_DRAWS, len(first)))
    ratios = first[drawn].sum(axis=1) / second[drawn].sum(axis=1)
    low, high = np.quantile(ratios, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return float(first.sum() / second.sum()), float(low), float(high)


def _medians(rows: Seconds) -> Any:
    return np.array([np.median(times) for times in rows])
