from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from toolkit.evaluation import buckets


def padded(sizes: list[int], limits: tuple[int, ...]) -> int:
    return sum(min(limit for limit in limits if limit >= min(size, limits[-1])) for size in sizes)


def by_trying(sizes: list[int], largest: int, number: int, step: int) -> int:
    """The least sum of padded sizes that `number` buckets reach."""
    places = range(step, largest, step)
    return min(padded(sizes, (*inner, largest)) for inner in itertools.combinations(places, number - 1))


@pytest.mark.parametrize("seed", range(20))
def test_no_other_buckets_add_less(seed: int) -> None:
    random = np.random.default_rng(seed)
    step = int(random.choice([1, 3, 5]))
    largest = 12 * step
    sizes = [int(size) for size in random.integers(1, largest + 4, random.integers(1, 12))]
    found = buckets.best(sizes, largest, 5, step)
    for number, item in enumerate(found, start=1):
        assert len(item.sizes) == number
        assert item.sizes[-1] == largest
        assert not any(size % step for size in item.sizes)
        assert padded(sizes, item.sizes) == by_trying(sizes, largest, number, step)


def test_more_buckets_add_less_until_each_size_has_its_own() -> None:
    found = buckets.best([10, 20, 20, 50], largest=100, most=9)
    assert [item.sizes for item in found] == [(100,), (20, 100), (20, 50, 100), (10, 20, 50, 100)]
    assert [item.padding for item in found] == [3.0, pytest.approx(0.6), pytest.approx(0.1), 0.0]


def test_the_largest_bucket_stays_although_nothing_of_the_sample_needs_it() -> None:
    assert buckets.best([10, 10], largest=40, most=2)[-1].sizes == (10, 40)


def test_what_is_larger_than_all_buckets_counts_as_the_largest() -> None:
    assert buckets.loss([30, 4000], [40, 100]) == pytest.approx(10 / 130)


def test_buckets_are_multiples_of_the_step_above_the_sizes() -> None:
    (_, found) = buckets.best([33, 40, 64, 65], largest=320, most=2, step=32)
    assert found.sizes == (96, 320)
    assert found.padding == pytest.approx(4 * 96 / (33 + 40 + 64 + 65) - 1)


@pytest.mark.parametrize("size", [1, 31, 32, 33])
def test_one_size_alone_has_the_bucket_above_it(size: int) -> None:
    found = buckets.best([size], largest=64, most=3, step=32)
    assert found[-1].sizes[0] == math.ceil(size / 32) * 32


def test_nothing_to_pad_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to pad"):
        buckets.best([], largest=64, most=3)
    with pytest.raises(ValueError, match="65 is no multiple of 32"):
        buckets.best([1], largest=65, most=3, step=32)
