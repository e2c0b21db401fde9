from __future__ import annotations

from typing import Optional

import pytest

from tests.soak.course import Course, point_of, points


def test_memory_is_looked_at_every_500_requests() -> None:
    assert points(5000) == list(range(500, 5001, 500))
    assert points(1200) == [500, 1000]


@pytest.mark.parametrize(
    ("completed", "point"),
    [
        (1, None),
        (25, None),
        (474, None),
        (475, 500),
        (525, 500),
        (526, None),
        (4975, 5000),
        (5000, 5000),
    ],
)
def test_a_sample_belongs_to_the_point_within_25_requests(completed: int, point: Optional[int]) -> None:
    assert point_of(completed, 5000) == point


def test_after_the_last_request_there_is_no_point() -> None:
    assert point_of(995, 800) is None


def test_a_point_has_the_most_that_was_seen_around_it() -> None:
    course = Course(1000)
    for completed, size in ((480, 300), (500, 200), (520, 250), (700, 900), (990, 330)):
        course.add(completed, {7: size})
    assert (course.largest(500), course.largest(1000)) == (300, 330)
    assert course.ratio == pytest.approx(1.1)


def test_the_ratio_is_that_of_the_largest_replica() -> None:
    course = Course(1000)
    course.add(500, {7: 100, 8: 200})
    course.add(1000, {7: 300, 8: 210})
    assert course.ratio == 1.5


def test_the_ratio_compares_the_first_with_the_last_point_only() -> None:
    course = Course(1500)
    for completed, size in ((500, 100), (1000, 900), (1500, 105)):
        course.add(completed, {7: size})
    assert course.ratio == 1.05


@pytest.mark.parametrize("missing", [500, 1000])
def test_without_a_replica_at_an_end_the_ratio_is_not_known(missing: int) -> None:
    course = Course(1000)
    for completed in (500, 1000):
        course.add(completed, {} if completed == missing else {7: 100})
    assert course.ratio is None


def test_with_one_point_there_is_no_ratio() -> None:
    course = Course(500)
    course.add(500, {7: 100})
    assert course.ratio is None


def test_a_replica_whose_process_is_another_one_was_replaced() -> None:
    course = Course(1500)
    for completed, resident in ((500, {7: 1, 8: 1}), (1000, {7: 1, 9: 1}), (1500, {9: 1, 10: 1})):
        course.add(completed, resident)
    assert course.replaced == 2
