from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Optional

import numpy as np
import pytest

from toolkit.quantization import statistics
from toolkit.quantization.statistics import BINS, SAMPLE, TensorStatistics

# Two images of two channels of 1x3.
IMAGES = np.array(
    [[[[1.0, -2.0, 4.0]], [[0.0, 0.5, -0.5]]], [[[3.0, 3.0, 3.0]], [[-7.0, 1.0, 0.0]]]], np.float32
)


def of(*batches: np.ndarray, axis: Optional[int] = None) -> TensorStatistics:
    found = TensorStatistics()
    for batch in batches:
        found.update(batch, axis)
    return found


def filled(found: TensorStatistics) -> dict[int, int]:
    """The bins that are not empty, counted from zero: 0 is the first above it, -1 the first below."""
    return {int(number) - BINS: int(found.histogram[number]) for number in np.flatnonzero(found.histogram)}


def noise(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=size).astype(np.float32)


def test_the_range_is_of_all_values_and_of_each_channel() -> None:
    found = of(IMAGES, axis=1)
    assert (found.minimum, found.maximum, found.absolute_maximum) == (-7.0, 4.0, 7.0)
    assert found.channels is not None
    assert found.channels.minimum.tolist() == [-2.0, -7.0]
    assert found.channels.maximum.tolist() == [4.0, 1.0]
    assert (found.batches, found.count) == (1, 12)


def test_the_last_axis_can_hold_the_channels() -> None:
    found = of(IMAGES, axis=-1)
    assert found.channels is not None
    assert found.channels.minimum.tolist() == [-7.0, -2.0, -0.5]
    assert found.channels.maximum.tolist() == [3.0, 3.0, 4.0]
    assert found.channels.mean.tolist() == [-0.75, 0.625, 1.625]


def test_a_channels_mean_weighs_each_value_of_all_batches_the_same() -> None:
    small, large = np.full((1, 2, 1, 1), 8.0), np.zeros((1, 2, 1, 3))
    large[0, 1] = 4.0
    found = of(small, large, axis=1)
    assert found.channels is not None
    # Channel 0: (8 + 3 * 0) / 4, channel 1: (8 + 3 * 4) / 4.
    assert found.channels.mean.tolist() == [2.0, 5.0]


def test_a_large_tensor_is_reduced_in_blocks_as_if_in_one() -> None:
    values = noise(2 * 5 * 300 * 301).reshape(2, 5, 300, 301)
    for axis, others in ((1, (0, 2, 3)), (3, (0, 1, 2))):
        found = of(values, axis=axis).channels
        assert found is not None
        assert found.minimum.tolist() == values.min(axis=others).tolist()
        assert found.maximum.tolist() == values.max(axis=others).tolist()
        assert found.mean == pytest.approx(values.mean(axis=others, dtype=np.float64), abs=1e-6)


def test_where_the_number_of_channels_changes_there_are_none() -> None:
    found = of(np.zeros((1, 4, 6)), np.ones((1, 4, 9)), np.ones((1, 4, 6)), axis=-1)
    assert found.channels is None
    assert found.maximum == 1.0


def test_the_moving_average_is_that_of_paddle() -> None:
    found = of(np.array([1.0, -2.0]), np.array([4.0]), np.array([-1.0, 0.0]))
    # state: 1, 1.9, 2.71; accum: 2, 0.9 * 2 + 4 = 5.8, 0.9 * 5.8 + 1 = 6.22.
    assert found.moving_average == pytest.approx(6.22 / 2.71)


def test_a_value_counts_in_the_bin_where_it_belongs() -> None:
    # The range is 4, a bin is 4 / BINS wide.
    width = 4 / BINS
    found = of(np.array([0.0, 0.5 * width, width, -0.5 * width, -1.5 * width, 3.0, 0.1 * width - 4.0]))
    assert found.exponent == 2
    assert found.width == width
    assert filled(found) == {0: 2, 1: 1, -1: 1, -2: 1, 3 * BINS // 4: 1, -BINS: 1}
    assert found.zeros == 1


def test_when_the_range_grows_neighbouring_bins_become_one_and_nothing_is_lost() -> None:
    values = noise(5000)
    grown = of(values, 9 * values, 0.01 * values)
    # The bins of the greatest batch hold all that came before and after, as if they had been there from the start.
    assert filled(grown) == filled(of(np.concatenate([values, 9 * values, 0.01 * values])))
    assert int(grown.histogram.sum()) == 15000


def test_the_histogram_does_not_depend_on_the_order_of_batches() -> None:
    # Powers of two, which are the edges of ranges, among them.
    batches = [np.append(noise(1000, seed) * scale / 9, scale) for seed, scale in enumerate((0.125, 32, 1))]
    assert filled(of(*batches)) == filled(of(*reversed(batches)))


@pytest.mark.parametrize("magnitude", [1e-3, 1.0, 1.01, 1.99, 2.0, 3e7])
def test_at_least_half_of_the_bins_are_in_use(magnitude: float) -> None:
    found = of(np.array([magnitude]))
    assert BINS // 2 <= next(iter(filled(found))) < BINS


def test_zeros_before_anything_else_are_kept() -> None:
    found = of(np.zeros(5), np.array([3.0, 0.0]))
    assert filled(found) == {0: 6, 3 * BINS // 4: 1}
    assert found.zeros == 6


def test_values_below_the_smallest_range_are_counted_beside_zero() -> None:
    assert filled(of(np.array([1e-40, -1e-40], np.float32))) == {0: 1, -1: 1}


def test_the_sample_of_a_large_batch_stands_for_all_of_it() -> None:
    values = noise(40 * SAMPLE)
    found = of(values)
    assert int(found.histogram.sum()) == pytest.approx(values.size, rel=1e-3)
    # Standard error of a share p of m sampled values: sqrt(p (1 - p) / m); four of them.
    for limit in (0.5, 1.0, 2.0, 3.0):
        share = np.mean(np.abs(values) > limit)
        inner = int(limit / found.width)
        counted = found.histogram[: BINS - inner].sum() + found.histogram[BINS + inner :].sum()
        assert abs(counted / found.histogram.sum() - share) < 4 * np.sqrt(share * (1 - share) / SAMPLE)


def test_the_range_is_exact_where_the_sample_misses_it() -> None:
    values = np.zeros(40 * SAMPLE, np.float32)
    for place in (12345, 12346):
        values[place] = place
        assert of(values).absolute_maximum == place


def test_the_sample_visits_every_column_though_the_distance_could_divide_the_width() -> None:
    # 16 columns and 16 times as many values as are sampled: every 16th value would stay in one column.
    found = of(np.tile(np.arange(16, dtype=np.float32), (SAMPLE, 1)))
    assert len(filled(found)) == 16
    assert found.zeros == pytest.approx(SAMPLE, rel=0.01)


def test_the_sample_of_the_next_batch_begins_elsewhere() -> None:
    values = noise(3 * SAMPLE)
    first, second = of(values), of(values, values)
    assert filled(second) != {number: 2 * count for number, count in filled(first).items()}


def test_small_and_large_batches_weigh_by_their_size() -> None:
    found = of(np.full(SAMPLE // 2, 1.0, np.float32), np.full(8 * SAMPLE, 2.0, np.float32))
    counts = filled(found)
    assert counts[BINS // 2] / counts[BINS // 4] == pytest.approx(16, rel=1e-3)


def test_a_batch_without_values_changes_nothing() -> None:
    found = of(np.ones(4), np.zeros((0, 3)))
    assert (found.batches, found.count, found.moving_average) == (1, 4, 1.0)


def test_before_any_batch_there_is_no_magnitude() -> None:
    assert (TensorStatistics().absolute_maximum, TensorStatistics().moving_average) == (0.0, 0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_and_change_nothing(bad: float) -> None:
    found = of(np.ones(4))
    with pytest.raises(ValueError, match="not finite"):
        found.update(np.array([0.0, bad]), None)
    assert (found.batches, found.maximum, int(found.histogram.sum())) == (1, 1.0, 4)


def test_memory_does_not_grow_with_the_number_of_batches() -> None:
    found, batch = of(noise(50_000)), noise(50_000, 1)
    tracemalloc.start()
    try:
        found.update(batch, None)
        after_one = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            found.update(batch, None)
        assert tracemalloc.get_traced_memory()[0] < after_one + 10_000
    finally:
        tracemalloc.stop()


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    written = {
        "conv2d_0.tmp_0": of(IMAGES, 3 * IMAGES, axis=1),
        "no channels/α": of(noise(100)),
        "only zeros": of(np.zeros((1, 3, 1)), axis=1),
        "never seen": TensorStatistics(),
        "other channels": of(IMAGES, axis=3),
    }
    statistics.save(written, tmp_path / "one.npz")
    loaded = statistics.load(tmp_path / "one.npz")
    assert list(loaded) == list(written)
    for name, item in written.items():
        assert_equal(loaded[name], item)


def test_what_is_loaded_can_be_continued(tmp_path: Path) -> None:
    statistics.save({"x": of(IMAGES, axis=1)}, tmp_path / "one.npz")
    loaded = statistics.load(tmp_path / "one.npz")["x"]
    loaded.update(2 * IMAGES, 1)
    assert_equal(loaded, of(IMAGES, 2 * IMAGES, axis=1))


def test_the_same_data_give_the_same_file(tmp_path: Path) -> None:
    for name in ("one.npz", "two.npz"):
        found = of(noise(3 * SAMPLE), noise(3 * SAMPLE, 1))
        statistics.save({"x": found}, tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_no_tensors_at_all_can_be_saved(tmp_path: Path) -> None:
    statistics.save({}, tmp_path / "none.npz")
    assert statistics.load(tmp_path / "none.npz") == {}


def assert_equal(first: TensorStatistics, second: TensorStatistics) -> None:
    for key in ("batches", "count", "minimum", "maximum", "zeros", "exponent", "state", "accum"):
        assert getattr(first, key) == getattr(second, key), key
    assert np.array_equal(first.histogram, second.histogram)
    assert (first.channels is None) == (second.channels is None)
    if first.channels is not None and second.channels is not None:
        assert first.channels.count == second.channels.count
        for key in ("minimum", "maximum", "total"):
            assert np.array_equal(getattr(first.channels, key), getattr(second.channels, key))
