"""Which few sizes to pad to: for a sample of sizes, the buckets that add least, by dynamic programming.

A size goes into the least bucket that takes it. The engine compiles for each shape, so buckets have to be few; what is
padded costs time, and accuracy too, so they have to be where the sizes are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Buckets:
    """Sizes to pad to.

    Attributes:
        sizes: ascending; none is larger than the last.
        padding: what they add to the sample, as a share of it.
    """

    sizes: tuple[int, ...]
    padding: float


def loss(sizes: Sequence[int], buckets: Sequence[int]) -> float:
    """What padding `sizes` to `buckets` adds, as a share of them; what is larger than all buckets counts as the last.

    Raises:
        ValueError: there are no sizes, or none above 0.
    """
    limits = np.sort(np.asarray(buckets, np.int64))
    needed = np.minimum(np.asarray(sizes, np.int64), limits[-1])
    padded = limits[np.searchsorted(limits, needed)]
    if needed.sum() <= 0:
        raise ValueError("there is nothing to pad")
    return float(padded.sum() / needed.sum()) - 1


def best(sizes: Sequence[int], largest: int, most: int, step: int = 1) -> list[Buckets]:
    """For each number of buckets up to `most` those that add least to the sample `sizes`.

    The last bucket is `largest` in any case: it says what is taken at most, and a sample need not hold the most. There
    are fewer results than `most` where more buckets would have nothing to take.

    Args:
        largest: what is larger counts as that; a multiple of `step`.
        step: buckets are multiples of it.

    Raises:
        ValueError: there are no sizes, or none above 0; `largest` is no multiple of `step`.
    """
    if largest % step:
        raise ValueError(f"{largest} is no multiple of {step}")
    places = [math.ceil(min(size, largest) / step) * step for size in sizes]
    ends, counts = np.unique([*places, largest], return_counts=True)
    counts[-1] -= 1
    chosen = _ends(ends, np.concatenate(([0], np.cumsum(counts))), min(most, len(ends)))
    return [Buckets(found, loss(sizes, found)) for found in chosen]


def _ends(ends: Array, before: Array, most: int) -> list[tuple[int, ...]]:
    """Of each number of buckets up to `most` those with the least sum of padded sizes.

    Args:
        ends: where a bucket may end, ascending; the last of them is one.
        before: how many sizes there are below each end's own, and after the last one all.
    """
    # cost[i, j]: of one bucket that takes the sizes of ends i..j.
    cost = (before[None, 1:] - before[:-1, None]) * ends[None, :].astype(float)
    cost[np.tril_indices(len(ends), -1)] = np.inf
    least, starts = cost[0], [np.zeros(len(ends), np.int64)]
    for _ in range(1, most):
        # The last bucket begins at i, and those before it end at i - 1.
        sums = np.concatenate(([np.inf], least[:-1]))[:, None] + cost
        starts.append(sums.argmin(axis=0))
        least = sums.min(axis=0)
    return [_walk(ends, starts, number) for number in range(1, most + 1)]


def _walk(ends: Array, starts: Sequence[Array], number: int) -> tuple[int, ...]:
    found, end = [], len(ends) - 1
    for row in reversed(starts[:number]):
        found.append(int(ends[end]))
        end = int(row[end]) - 1
    return tuple(reversed(found))
