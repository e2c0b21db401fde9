"""From the detector's map of probabilities to boxes: PaddleOCR's postprocessing of DB, for all boxes at once.

The boxes are PaddleOCR's, to the last digit. It takes them one by one, in almost three times the time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import pyclipper

from toolkit.pipeline import Unprocessable

Array = np.ndarray[Any, Any]

# Of what the detector sees as apart, a box becomes what is large and certain enough; noise is neither.
_REGIONS_PER_BOX = 10

_DILATION = np.ones((2, 2), np.uint8)

# The shorter side of a region, of the box that is made of it, and both sides of that in the image, at least.
_REGION, _BOX, _IN_IMAGE = 3, 5, 3


class Boxes:
    """Finds the boxes of an image.

    Args:
        options: `threshold` (of a pixel), `box_threshold` (mean of a box), `unclip` (growth of a box), `max_boxes` (in
            one image).
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._threshold = float(options.get("threshold", 0.3))
        self._box_threshold = float(options.get("box_threshold", 0.5))
        self._unclip = float(options.get("unclip", 1.6))
        self._max_boxes = int(options.get("max_boxes", 1000))

    def find(self, probability: Array, height: int, width: int) -> Array:
        """The boxes, (n, 4, 2) float32, in pixels of an image of that size and in reading order.

        Args:
            probability: (h, w) float32, of each pixel of the detector's image.

        Raises:
            Unprocessable: there are more than `max_boxes`.
        """
        regions, sides = _rectangles(self._regions(probability))
        regions = regions[sides >= _REGION]
        certain = np.array([_mean_inside(probability, region) for region in regions]) >= self._box_threshold
        boxes, sides = _rectangles(self._grown(regions[certain]))
        boxes = boxes[sides >= _BOX]
        scale = np.array([width, height])
        boxes = np.clip(np.round(boxes / np.float32(probability.shape[::-1]) * np.float32(scale)), 0, scale)
        boxes = np.clip(clockwise(boxes), 0, scale - 1).astype(np.float32)
        boxes = boxes[_large_enough(boxes)]
        if len(boxes) > self._max_boxes:
            raise _too_many(f"{len(boxes):,} lines", self._max_boxes)
        return reading_order(boxes)

    def _regions(self, probability: Array) -> Sequence[Array]:
        """The outline of each spot that may be text."""
        spots = cv2.dilate((probability > self._threshold).astype(np.uint8), _DILATION)
        outlines: Sequence[Array] = cv2.findContours(spots, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]
        limit = self._max_boxes * _REGIONS_PER_BOX
        if len(outlines) > limit:
            raise _too_many(f"{len(outlines):,} spots that may be text", limit)
        return outlines

    def _grown(self, regions: Array) -> Iterable[Array]:
        """Each region with all its sides moved outwards by `unclip` times area over perimeter."""
        edges = np.diff(regions.astype(float), axis=1, append=regions[:, :1])
        areas = np.abs(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0])
        perimeters = np.hypot(edges[..., 0], edges[..., 1]).sum(axis=1)
        for region, distance in zip(regions.tolist(), areas * self._unclip / perimeters):
            offset = pyclipper.PyclipperOffset()
            offset.AddPath(region, pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
            yield np.array(offset.Execute(distance), np.int32).reshape(-1, 1, 2)


def _too_many(what: str, limit: int) -> Unprocessable:
    return Unprocessable(f"the image has {what}, at most {limit:,} are taken: send it in parts")


def _rectangles(outlines: Iterable[Array]) -> tuple[Array, Array]:
    """Of each outline the least rectangle around it, (n, 4, 2) float32, and the shorter side of that, (n,)."""
    found = [cv2.minAreaRect(outline) for outline in outlines]
    corners = np.array([cv2.boxPoints(rectangle) for rectangle in found], np.float32).reshape(-1, 4, 2)
    return clockwise(corners), np.array([min(size) for _, size, _ in found])


def _mean_inside(probability: Array, region: Array) -> float:
    """The mean of the pixels within `region`, four corners."""
    height, width = probability.shape
    (left, top), (right, bottom) = region.min(axis=0).tolist(), region.max(axis=0).tolist()
    left, right = _within(math.floor(left), width), _within(math.ceil(right), width)
    top, bottom = _within(math.floor(top), height), _within(math.ceil(bottom), height)
    mask = np.zeros((bottom - top + 1, right - left + 1), np.uint8)
    corners = (region - np.float32([left, top])).astype(np.int32)
    cv2.fillPoly(mask, corners[None], 1)
    return float(cv2.mean(probability[top : bottom + 1, left : right + 1], mask)[0])


def _within(position: int, size: int) -> int:
    return min(max(position, 0), size - 1)


def clockwise(boxes: Array) -> Array:
    """The four corners of each, (..., 4, 2), from the top left on, as seen from the left pair and the right pair."""
    by_x = _sorted_by(0, boxes)
    left, right = _sorted_by(1, by_x[..., :2, :]), _sorted_by(1, by_x[..., 2:, :])
    corners = [left[..., 0, :], right[..., 0, :], right[..., 1, :], left[..., 1, :]]
    return np.stack(corners, axis=-2).astype(np.float32)


def _sorted_by(axis: int, points: Array) -> Array:
    order = np.argsort(points[..., axis], axis=-1, kind="stable")
    return np.take_along_axis(points, order[..., None], axis=-2)


def _large_enough(boxes: Array) -> Array:
    across, down = boxes[:, 0] - boxes[:, 1], boxes[:, 0] - boxes[:, 3]
    return (np.linalg.norm(across, axis=1) > _IN_IMAGE) & (np.linalg.norm(down, axis=1) > _IN_IMAGE)


def reading_order(boxes: Iterable[Array]) -> Array:
    """`boxes` from top to bottom, those of one row from left to right; a row is 10 pixels high, as in PaddleOCR."""
    ordered = sorted(boxes, key=lambda box: (box[0][1], box[0][0]))
    for end in range(1, len(ordered)):
        for index in range(end, 0, -1):
            above, here = ordered[index - 1], ordered[index]
            if abs(here[0][1] - above[0][1]) >= 10 or here[0][0] >= above[0][0]:
                break
            ordered[index - 1], ordered[index] = here, above
    return np.array(ordered, dtype=np.float32).reshape(-1, 4, 2)
