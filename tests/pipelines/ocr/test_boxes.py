from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from toolkit import pipeline

FOLDER = Path(__file__).parents[3] / "pipelines" / "ocr"

Array = Any

pytestmark = pytest.mark.usefixtures("_postprocessing_without_paddle")

boxes = sys.modules[pipeline.resolve(FOLDER, "boxes:Boxes").__module__]


def page(seed: int) -> Array:
    """A map of probabilities with lines of all sizes and slants, some uncertain, some within each other, and specks."""
    random = np.random.default_rng(seed)
    height, width = (int(side) * 32 for side in random.integers(16, 30, 2))
    probability = np.zeros((height, width), np.float32)
    for _ in range(40):
        size = float(random.uniform(1, 200)), float(random.uniform(1, 30))
        slant = float(random.choice([0, 0, 90, random.uniform(-40, 40)]))
        where = float(random.uniform(0, width)), float(random.uniform(0, height))
        corners = cv2.boxPoints((where, size, slant)).astype(np.int32)
        cv2.fillPoly(probability, corners[None], float(random.uniform(0.2, 1)))
    probability *= random.uniform(0.7, 1, probability.shape).astype(np.float32)
    return cv2.GaussianBlur(probability, (0, 0), 1.0)


def one_by_one(probability: Array, height: int, width: int) -> Array:
    """PaddleOCR's boxes, ordered and clipped in the plainest way."""
    find = import_module("rapidocr_paddle.ch_ppocr_det.utils").DBPostProcess(
        thresh=0.3, box_thresh=0.5, max_candidates=10_000, unclip_ratio=1.6, use_dilation=True
    )
    found = []
    for box in find(probability[None, None], (height, width))[0]:
        pairs = sorted(box.tolist(), key=lambda corner: corner[0])
        left, right = (sorted(pair, key=lambda corner: corner[1]) for pair in (pairs[:2], pairs[2:]))
        ordered = np.array([left[0], right[0], right[1], left[1]], np.float32)
        clipped = np.clip(ordered, 0, [width - 1, height - 1]).astype(np.float32)
        if min(np.linalg.norm(clipped[0] - clipped[1]), np.linalg.norm(clipped[0] - clipped[3])) > 3:
            found.append(clipped)
    return boxes.reading_order(found)


@pytest.mark.parametrize("seed", range(20))
def test_the_boxes_are_those_that_paddleocr_finds_one_by_one_to_the_last_digit(seed: int) -> None:
    probability = page(seed)
    height, width = (int(side) for side in np.random.default_rng(seed).integers(20, 4000, 2))
    found = boxes.Boxes({}).find(probability, height, width)
    np.testing.assert_array_equal(found, one_by_one(probability, height, width))
    assert found.dtype == np.float32
    assert len(found) > 0


def test_the_corners_of_one_box_or_of_many_go_clockwise_from_the_top_left() -> None:
    upright = np.array([[0, 0], [9, 0], [9, 5], [0, 5]], np.float32)
    slanting = np.array([[0, 2], [9, 0], [10, 5], [1, 7]], np.float32)
    expected = np.stack([upright, slanting])
    np.testing.assert_array_equal(boxes.clockwise(expected[:, [2, 0, 3, 1]]), expected)
    np.testing.assert_array_equal(boxes.clockwise(slanting[[1, 3, 2, 0]]), slanting)
    assert boxes.clockwise(np.empty((0, 4, 2), np.float32)).shape == (0, 4, 2)


def at(left: float, top: float) -> Array:
    return np.array([[left, top], [left + 9, top], [left + 9, top + 5], [left, top + 5]], np.float32)


def test_a_row_is_read_from_left_to_right_although_it_slants() -> None:
    found = [at(200, 0), at(0, 9), at(100, 4), at(0, 40), at(100, 31)]
    assert [tuple(box[0]) for box in boxes.reading_order(found)] == [
        (0, 9),
        (100, 4),
        (200, 0),
        (0, 40),
        (100, 31),
    ]
    assert boxes.reading_order([]).shape == (0, 4, 2)
