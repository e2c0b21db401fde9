from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from toolkit.evaluation import latency


def test_the_ratio_is_of_times_that_were_taken_one_after_the_other() -> None:
    # The machine slows down fourfold between two samples: medians of both series alone would say anything.
    found = latency.summary(np.array([10.0, 40.0, 10.0, 40.0]), np.array([5.0, 20.0, 5.0, 20.0]))
    assert (found["ratio"], found["spread"]) == (2.0, 0.0)
    assert (found["milliseconds"], found["p99"]) == (12.5, 20.0)


def test_the_spread_is_half_of_the_interquartile_range_as_a_share_of_the_ratio() -> None:
    # Ratios 1.0, 1.5, 2.0, 2.5, 3.0: quartiles 1.5 and 2.5, median 2.
    found = latency.summary(np.array([1.0, 1.5, 2.0, 2.5, 3.0]), np.ones(5))
    assert (found["ratio"], found["spread"]) == (2.0, 0.25)


def test_samples_without_an_inference_are_passed_over_and_no_more_are_read_than_needed() -> None:
    read = []

    def samples() -> Iterator[Any]:
        for feeds in ([], [], ["a"], [], list("bcdefgh"), ["i"]):
            read.append(feeds)
            yield feeds

    assert latency.chosen(samples(), samples=2, feeds=3) == [["a"], ["b", "e", "h"]]
    assert len(read) == 5
    assert latency.chosen(iter([[], []]), samples=2, feeds=3) == []


def test_outputs_are_compared_by_their_direction_where_they_have_the_same_shape() -> None:
    rows = np.array([[3.0, 4.0]])
    products = [latency._products([{"y": rows}], [{"y": other}]) for other in (2 * rows, np.ones((3, 2)))]
    assert [latency._cosine(item) for item in products] == [1.0, None]


def test_the_reference_against_itself_is_as_fast_and_certain() -> None:
    series = np.array([3.0, 4.0, 8.0])
    assert latency.summary(series, series)["ratio"] == 1.0
    assert latency.summary(series, series)["spread"] == pytest.approx(0.0)
