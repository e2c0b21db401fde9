"""What calibration keeps of each activation: enough for every algorithm that finds a scale, in one pass.

Memory is bounded however many batches come. Range and mean, also by channel, and the moving average are exact over all
values. The histogram takes all values of a batch up to `SAMPLE`, and of more every n-th, counted n times, so that
batches of all sizes weigh as they should. n shares no factor with the number of values, so the sample does not stay in
the same columns or channels; its offset moves on with each batch. Of m sampled values, the share above a limit has the
standard error sqrt(share / m): with 100 batches, 4 % of a share of 0.0001. Measured on 10 images through a detector,
the 0.9999 quantiles of its 61 activations differ from those of all values by 0.3 % in the median and by 6 % at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

# Bins of the histogram on each side of zero. Its range is a power of two, so that the order of batches does not matter
# to where a value is counted. At least half of the bins are in use, so they are as fine as the 2,048 of PaddleSlim.
BINS = 4096
# Values of one batch that the histogram takes at most.
SAMPLE = 65_536
# Of paddle's `moving_average_abs_max`.
MOMENTUM = 0.9

# Below this range, 8e-31, the bins' width would leave the range of float32.
_LEAST_EXPONENT = -100
# Values that are looked at together: 512 KiB, so that only the first look at them waits for the memory.
_BLOCK = 131_072


@dataclass
class Channels:
    """Statistics by channel.

    Attributes:
        minimum: float32, (channels,).
        maximum: float32, (channels,).
        total: sum of the values, float64, (channels,).
        count: number of values of one channel.
    """

    minimum: Array
    maximum: Array
    total: Array
    count: int

    @property
    def mean(self) -> Array:
        """Mean of the values, each of all batches weighing the same; float64, (channels,)."""
        return np.asarray(self.total / self.count)

    def joined(self, other: Channels) -> Channels:
        """The statistics of both together."""
        return Channels(
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
            self.total + other.total,
            self.count + other.count,
        )


@dataclass
class TensorStatistics:
    """The statistics of one activation, over all batches so far.

    Attributes:
        batches: number of updates with at least one value.
        count: number of values.
        minimum: least value.
        maximum: greatest value.
        channels: by channel; None without a channel axis, or where batches differ in the number of channels, as the
            last axis of a matrix product between activations may.
        histogram: int64, (2 * BINS,): estimated number of values in each bin of equal width, from -range to +range.
        zeros: estimated number of values that are exactly zero; they are in the histogram too.
        exponent: the histogram's range is 2 ** exponent; None: there were only zeros so far.
        state: weight of all batches in the moving average.
        accum: weighted sum of the batches' absolute maxima.
    """

    batches: int = 0
    count: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    channels: Optional[Channels] = None
    histogram: Array = field(default_factory=lambda: np.zeros(2 * BINS, np.int64))
    zeros: int = 0
    exponent: Optional[int] = None
    state: float = 0.0
    accum: float = 0.0

    @property
    def absolute_maximum(self) -> float:
        """Greatest absolute value; 0.0 where there were none."""
        return max(-self.minimum, self.maximum, 0.0)

    @property
    def moving_average(self) -> float:
        """Moving average of the batches' absolute maxima, as paddle's `moving_average_abs_max`; 0.0 without any."""
        return self.accum / self.state if self.batches else 0.0

    @property
    def width(self) -> float:
        """Width of a bin of the histogram; 0.0 while there were only zeros."""
        return 0.0 if self.exponent is None else math.ldexp(1.0, self.exponent) / BINS

    def update(self, values: Array, channel_axis: Optional[int]) -> None:
        """Take in one batch.

        Args:
            values: the activation, of any shape; 32-bit floats, or what can be cast to them.
            channel_axis: axis of the channels, from either end; None: there is none.

        Raises:
            ValueError: a value is not finite.
        """
        if values.size == 0:
            return
        sample = _Sample(values.size, self.batches)
        found = _by_channel(np.ascontiguousarray(values, dtype=np.float32), channel_axis, sample)
        low, high = float(found.minimum.min()), float(found.maximum.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError("a value is not finite")
        self._update_histogram(sample.values, sample.stride, max(-low, high))
        self._update_channels(found, known=channel_axis is not None)
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        self.state = MOMENTUM * self.state + 1
        self.accum = MOMENTUM * self.accum + max(-low, high)
        self.batches += 1
        self.count += values.size

    def _update_channels(self, found: Channels, known: bool) -> None:
        if self.batches == 0:
            self.channels = found if known else None
        elif self.channels is not None:
            same = known and self.channels.minimum.shape == found.minimum.shape
            self.channels = self.channels.joined(found) if same else None

    def _update_histogram(self, sample: Array, weight: int, magnitude: float) -> None:
        self.zeros += weight * int(np.count_nonzero(sample == 0.0))
        if magnitude > 0.0:
            self._grow(_exponent(magnitude))
        # By a power of two, so exact. Zeros, before anything else came, are in the bin where they belong in any range.
        scaled = sample * np.float32(1.0 / self.width) if self.exponent is not None else sample.copy()
        np.floor(scaled, out=scaled)
        scaled += BINS
        self.histogram += weight * np.bincount(scaled.astype(np.intp), minlength=2 * BINS)

    def _grow(self, exponent: int) -> None:
        """Double the range until it is 2 ** exponent or more: two neighbouring bins become one."""
        if self.exponent is None:
            self.exponent = exponent
        while self.exponent < exponent:
            merged = self.histogram.reshape(-1, 2).sum(axis=1)
            self.histogram = np.pad(merged, BINS // 2)
            self.exponent += 1


# What a file holds of a tensor: its plain numbers, and what stands for no exponent and no channels.
_NUMBERS = ("batches", "count", "minimum", "maximum", "zeros", "state", "accum")
_NO_EXPONENT = 1000
_NO_CHANNELS = Channels(np.zeros(0, np.float32), np.zeros(0, np.float32), np.zeros(0), 0)


def _exponent(magnitude: float) -> int:
    """The least n of which 2 ** n is greater than `magnitude`."""
    return max(math.frexp(magnitude)[1], _LEAST_EXPONENT)


def _stride(size: int) -> int:
    """The least distance that takes at most `SAMPLE` of `size` values and shares no factor with `size`."""
    stride = -(-size // SAMPLE)
    while math.gcd(stride, size) != 1:
        stride += 1
    return stride


class _Sample:
    """Every `stride`-th of the values of a batch, taken block by block."""

    def __init__(self, size: int, batch: int) -> None:
        self.stride = _stride(size)
        self._offset = batch % self.stride
        self.values = np.empty(len(range(self._offset, size, self.stride)), np.float32)
        self._taken = 0

    def take(self, block: Array, begin: int) -> None:
        """Take from `block`, whose first value is the `begin`-th; blocks come in their order."""
        part = block.reshape(-1)[(self._offset - begin) % self.stride :: self.stride]
        self.values[self._taken : self._taken + len(part)] = part
        self._taken += len(part)


def _by_channel(values: Array, axis: Optional[int], sample: _Sample) -> Channels:
    """Minimum, maximum and sum by channel; without an axis, of all values as one channel. Fills `sample`."""
    if axis is None:
        return _of_rows(values.reshape(1, -1), 1, sample)
    axis %= values.ndim
    channels, inner = values.shape[axis], math.prod(values.shape[axis + 1 :])
    if inner == 1:
        return _of_columns(values.reshape(-1, channels), sample)
    return _of_rows(values.reshape(-1, inner), channels, sample)


def _blocks(matrix: Array, sample: _Sample) -> Iterator[tuple[slice, Array]]:
    """A contiguous matrix in blocks of whole rows, about `_BLOCK` values each, which `sample` has taken from."""
    length, width = matrix.shape
    step = max(1, _BLOCK // width)
    for begin in range(0, length, step):
        rows = slice(begin, begin + step)
        yield rows, matrix[rows]
        sample.take(matrix[rows], begin * width)


def _of_rows(matrix: Array, channels: int, sample: _Sample) -> Channels:
    """Each row is a channel of one image: reduced along its contiguous values, then over the images."""
    low, high, total = (np.empty(len(matrix), np.float32) for _ in range(3))
    for rows, block in _blocks(matrix, sample):
        block.min(axis=1, out=low[rows])
        block.max(axis=1, out=high[rows])
        block.sum(axis=1, out=total[rows])
    by_image = (-1, channels)
    return Channels(
        low.reshape(by_image).min(axis=0),
        high.reshape(by_image).max(axis=0),
        total.reshape(by_image).sum(axis=0, dtype=np.float64),
        matrix.size // channels,
    )


def _of_columns(matrix: Array, sample: _Sample) -> Channels:
    """Each column is a channel."""
    low, high, total = [], [], []
    for _, block in _blocks(matrix, sample):
        low.append(block.min(axis=0))
        high.append(block.max(axis=0))
        total.append(block.sum(axis=0))
    return Channels(
        np.min(low, axis=0), np.max(high, axis=0), np.sum(total, axis=0, dtype=np.float64), len(matrix)
    )


def save(statistics: Mapping[str, TensorStatistics], path: Path) -> None:
    """Write the statistics of tensors, by name, to one .npz file; the same bytes for the same statistics."""
    items = list(statistics.values())
    arrays = {key: np.array([getattr(item, key) for item in items]) for key in _NUMBERS}
    exponents = [_NO_EXPONENT if item.exponent is None else item.exponent for item in items]
    channels = [item.channels or _NO_CHANNELS for item in items]
    np.savez_compressed(
        path,
        names=np.array(list(statistics), np.str_),
        exponent=np.array(exponents, np.int64),
        histogram=np.array([item.histogram for item in items]).reshape(-1, 2 * BINS),
        channels=np.array([len(item.minimum) for item in channels], np.int64),
        channel_count=np.array([item.count for item in channels], np.int64),
        channel_minimum=np.concatenate([_NO_CHANNELS.minimum, *(item.minimum for item in channels)]),
        channel_maximum=np.concatenate([_NO_CHANNELS.maximum, *(item.maximum for item in channels)]),
        channel_total=np.concatenate([_NO_CHANNELS.total, *(item.total for item in channels)]),
        **arrays,
    )


def load(path: Path) -> dict[str, TensorStatistics]:
    """The statistics that `save` wrote, by tensor name."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    ends = np.cumsum(arrays["channels"])
    return {
        str(name): TensorStatistics(
            **{key: arrays[key][number].item() for key in _NUMBERS},
            exponent=None if arrays["exponent"][number] == _NO_EXPONENT else int(arrays["exponent"][number]),
            histogram=arrays["histogram"][number],
            channels=_channels(arrays, slice(end - arrays["channels"][number], end), number),
        )
        for number, (name, end) in enumerate(zip(arrays["names"], ends))
    }


def _channels(arrays: Mapping[str, Array], part: slice, number: int) -> Optional[Channels]:
    if part.start == part.stop:
        return None
    low, high, total = (arrays[f"channel_{key}"][part] for key in ("minimum", "maximum", "total"))
    return Channels(low, high, total, int(arrays["channel_count"][number]))
