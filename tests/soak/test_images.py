from __future__ import annotations

import cv2
import numpy as np

from tests.soak import images
from tests.soak.course import EVERY


def test_an_image_depends_on_its_number_and_the_seed_alone() -> None:
    assert images.jpeg(7, 1) == images.jpeg(7, 1)
    assert len({images.jpeg(number, seed) for number in (7, 8) for seed in (1, 2)}) == 4


def test_an_image_is_a_jpeg_file_of_its_size() -> None:
    for number in (1, 2, 10, 60):
        page = cv2.imdecode(np.frombuffer(images.jpeg(number, 1), np.uint8), cv2.IMREAD_COLOR)
        assert (page.shape[1], page.shape[0]) == images.size(number, 1)


def test_sizes_are_mixed_and_most_are_small() -> None:
    sides = [side for number in range(1, 1001) for side in images.size(number, 1)]
    assert (min(sides), max(sides)) == (images.SMALLEST, images.LARGEST)
    assert np.median(sides) < 120
    assert len(set(sides)) > 200


def test_what_comes_later_is_no_larger_than_what_came_before_the_first_point() -> None:
    assert images.size(10, 1) == images.size(4910, 1) == (images.LARGEST, images.LARGEST)
    begin, end = (
        np.mean([np.prod(images.size(number, 1)) for number in range(first, first + EVERY)])
        for first in (1, 4501)
    )
    assert abs(end / begin - 1) < 0.25


def test_some_pages_have_text_and_some_have_none() -> None:
    darkest = [
        int(cv2.imdecode(np.frombuffer(images.jpeg(number, 1), np.uint8), cv2.IMREAD_GRAYSCALE).min())
        for number in range(1, 101)
    ]
    assert min(darkest) < 100
    assert max(darkest) > 180
