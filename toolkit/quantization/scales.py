"""Scales of activations from their statistics, without another pass over the data.

An activation x is quantized symmetrically, q = round(clip(x / T, -1, 1) * 127) with the threshold T, since oneDNN in
Paddle 2.6 takes activations without a zero point (it is 0). An algorithm chooses T between clipping error (T small)
and rounding error (T large):

- `minmax`: the greatest absolute value; nothing is clipped;
- `histogram`: the quantile `percent` of the absolute values; PaddleSlim's `hist`;
- `moving_average`: of the batches' absolute maxima, with momentum 0.9; paddle's `moving_average_abs_max`;
- `kl`: the least Kullback-Leibler divergence between the values and their quantization (Migacz, "8-bit inference with
  TensorRT", GTC 2017), in PaddleSlim's form: T is at least half of the greatest absolute value;
- `mse`: the least mean squared error of the quantized values.

`kl` and `mse` read the histogram as a density that is constant within a bin.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from toolkit.quantization.statistics import BINS, TensorStatistics

Array = np.ndarray[Any, np.dtype[Any]]

ALGORITHMS = ("minmax", "histogram", "moving_average", "kl", "mse")
# Greatest quantized value of 8 bits.
LEVELS = 127
# Least threshold, that of PaddleSlim: for an activation that was zero on all the calibration data, as on white pages.
# Whatever else it will ever be, it is then clipped; better calibration data is the only remedy.
FLOOR = 1e-8

# Bins over the range of the absolute values, and where the search of `kl` begins; both are PaddleSlim's.
_KL_BINS = 2048
_KL_FIRST = (_KL_BINS - 1) // 2
# Thresholds that `mse` tries, as shares of the greatest absolute value.
_SHARES = np.arange(1, 101) / 100


def threshold(statistics: TensorStatistics, algorithm: str, percent: float = 0.9999) -> float:
    """The absolute value T that becomes 127: positive and finite, never below `FLOOR`.

    Args:
        algorithm: one of `ALGORITHMS`.
        percent: share of the values within the threshold, in 0..1, for `histogram`.

    Raises:
        ValueError: the algorithm is unknown, or `percent` is not in 0..1.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"{algorithm!r} is none of {', '.join(ALGORITHMS)}")
    if not 0.0 < percent <= 1.0:
        raise ValueError(f"percent is {percent}, not in 0..1")
    if statistics.absolute_maximum <= FLOOR:
        return FLOOR
    if algorithm == "minmax":
        found = statistics.absolute_maximum
    elif algorithm == "moving_average":
        found = statistics.moving_average
    elif algorithm == "histogram":
        found = _quantile(statistics, percent)
    else:
        found = _least_divergence(statistics) if algorithm == "kl" else _least_error(statistics)
    return max(found, FLOOR)


def clipped_share(statistics: TensorStatistics, limit: float) -> float:
    """The share of the values, in 0..1, whose absolute value is above the threshold `limit`; from the histogram."""
    edges, counts = _folded(statistics)
    total = counts.sum()
    if total == 0 or limit >= statistics.absolute_maximum:
        return 0.0
    return float(1.0 - np.interp(limit, edges, _cumulated(counts)) / total)


def signal_to_noise(statistics: TensorStatistics, limit: float) -> float:
    """The expected ratio of signal to quantization noise, clipping included, in dB, with the threshold `limit`.

    10 * log10(E[x^2] / E[(x - dequantized x)^2]), from the histogram; infinite where all values are zero.
    """
    edges, counts = _folded(statistics)
    power = float(_mean_square(edges) @ _nonzero(statistics, counts))
    noise = float(_squared_errors(statistics, np.array([limit]))[0])
    return math.inf if power == 0.0 else 10.0 * math.log10(power / noise)


def _folded(statistics: TensorStatistics) -> tuple[Array, Array]:
    """The histogram of absolute values: edges (n + 1,) from 0 to the greatest absolute value, counts (n,)."""
    counts = (statistics.histogram[BINS:] + statistics.histogram[BINS - 1 :: -1]).astype(np.float64)
    if statistics.exponent is None:
        return np.array([0.0, FLOOR]), np.array([counts.sum()])
    used = min(max(1, math.ceil(statistics.absolute_maximum / statistics.width)), BINS)
    counts[used - 1] += counts[used:].sum()
    edges = statistics.width * np.arange(used + 1)
    edges[-1] = statistics.absolute_maximum
    return edges, counts[:used]


def _cumulated(counts: Array) -> Array:
    return np.concatenate([[0.0], np.cumsum(counts)])


def _nonzero(statistics: TensorStatistics, counts: Array) -> Array:
    """`counts` of absolute values, without the zeros, which quantization keeps: after a ReLU they are half of all."""
    return np.concatenate([[counts[0] - statistics.zeros], counts[1:]])


def _quantile(statistics: TensorStatistics, percent: float) -> float:
    """Linear within the bin; PaddleSlim takes the bin's middle."""
    edges, counts = _folded(statistics)
    cumulated = _cumulated(counts)
    number = int(np.searchsorted(cumulated, percent * cumulated[-1]))
    below, above = cumulated[number - 1], cumulated[number]
    part = (percent * cumulated[-1] - below) / (above - below)
    return float(edges[number - 1] + part * (edges[number] - edges[number - 1]))


def _least_error(statistics: TensorStatistics) -> float:
    limits = _SHARES * statistics.absolute_maximum
    return float(limits[np.argmin(_squared_errors(statistics, limits))])


def _squared_errors(statistics: TensorStatistics, limits: Array) -> Array:
    """The sum of squared quantization errors of the sampled values, for each threshold of `limits`.

    Values are spread evenly within a bin [a, b], in steps of T / 127, so their mean squared error is
    (F(b) - F(a)) / (b - a), where F is the integral from 0 of the squared error at t: (t - round(t))^2 up to 127, and
    (t - 127)^2 beyond. With n = round(min(t, 127)), F(t) = n / 12 + (t - n)^3 / 3.
    """
    edges, counts = _folded(statistics)
    weights = _nonzero(statistics, counts) / np.diff(edges)
    steps = limits / LEVELS
    scaled = edges / steps[:, None]
    levels = np.minimum(np.rint(scaled), LEVELS)
    errors = scaled - levels
    # Not `** 3`, which numpy computes ten times slower.
    integral = levels / 12 + errors * errors * errors / 3
    return np.asarray((np.diff(integral, axis=1) @ weights) * steps**3)


def _mean_square(edges: Array) -> Array:
    """The mean of x^2 over each bin."""
    return np.asarray(np.diff(edges**3) / (3 * np.diff(edges)))


def _least_divergence(statistics: TensorStatistics) -> float:
    """T of the least divergence: with i bins kept, T is i + 0.5 bins wide, as in PaddleSlim."""
    return (_best_length(_even_bins(statistics)) + 0.5) * statistics.absolute_maximum / _KL_BINS


def _even_bins(statistics: TensorStatistics) -> Array:
    """The absolute values in `_KL_BINS` bins of equal width, which end at the greatest.

    Counts are moved whole, in units of the least: `kl` tells empty bins from others, and a part of a value fills one.
    """
    edges, counts = _folded(statistics)
    even = np.linspace(0.0, edges[-1], _KL_BINS + 1)
    unit = counts[counts > 0].min()
    return np.asarray(unit * np.diff(np.rint(np.interp(even, edges, _cumulated(counts)) / unit)))


def _best_length(bins: Array) -> int:
    """The number of `bins` to keep, of which the last takes all values beyond, so that the divergence is least.

    P are the bins that are kept, with the rest added to the last; Q the same without that rest, after the bins were
    merged to 127 levels and each level was spread evenly over those of its bins that are not empty.
    KL(P || Q) = sum P log(P / Q), of which sum P log Q is a sum over levels: all lengths are computed at once from sums
    up to each bin.
    """
    total = bins.sum()
    kept, filled = _cumulated(bins), _cumulated(bins > 0)
    entropies = _cumulated(_times_log(bins))
    lengths = np.arange(_KL_FIRST, _KL_BINS)
    lengths = lengths[bins[lengths - 1] > 0]
    if len(lengths) == 0:
        return _length_below(bins)
    bounds = (lengths // LEVELS)[:, None] * np.arange(LEVELS + 1)
    bounds[:, -1] = lengths
    values, places = np.diff(kept[bounds]), np.diff(filled[bounds])
    heights = np.log(np.where(values > 0, values / np.maximum(places, 1), 1.0))
    outliers = total - kept[lengths]
    last = bins[lengths - 1]
    own = entropies[lengths - 1] + _times_log(last + outliers)
    cross = (values * heights).sum(axis=1) + outliers * heights[:, -1]
    # P sums up to `total`, Q to what is kept; each is divided by its sum.
    divergence = (own - cross) / total + np.log(kept[lengths] / total)
    return int(lengths[np.argmin(divergence)])


def _length_below(bins: Array) -> int:
    """Where nothing lies between half and the end: up to the last filled bin below; all, if only zeros are there."""
    filled = np.flatnonzero(bins[: _KL_FIRST + 1])
    return int(filled[-1]) if filled[-1:].any() else _KL_BINS - 1


def _times_log(values: Array) -> Array:
    """x log x, 0 for 0."""
    return np.asarray(values * np.log(np.where(values > 0, values, 1.0)))
