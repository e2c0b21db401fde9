"""The images of a soak: text of random length on pages of random size, each made from its number alone.

Most are small, so that thousands take minutes. The largest and the smallest size come at fixed places, the first of
each early, so that a later part of a soak has nothing in it that its beginning did not have.
"""

from __future__ import annotations

import random
import string
from typing import Any

import cv2
import numpy as np

SMALLEST, LARGEST = 64, 960

_PERIOD = 100
_LARGEST_AT, _SMALLEST_AT = 10, 60
_LETTERS = string.ascii_letters + string.digits + " "


def size(number: int, seed: int) -> tuple[int, int]:
    """Width and height in pixels of the image `number`."""
    if number % _PERIOD == _LARGEST_AT:
        return LARGEST, LARGEST
    if number % _PERIOD == _SMALLEST_AT:
        return SMALLEST, SMALLEST
    generator = random.Random(f"size {seed} {number}")
    return _side(generator), _side(generator)


def _side(generator: random.Random) -> int:
    """Half of the sides are below 90 pixels; the mean is about 160."""
    return int(SMALLEST * (LARGEST / SMALLEST) ** (generator.random() ** 3))


def jpeg(number: int, seed: int) -> bytes:
    """The image `number` as a JPEG file."""
    width, height = size(number, seed)
    generator = random.Random(f"text {seed} {number}")
    page = np.full((height, width, 3), generator.randint(200, 255), np.uint8)
    for line in range(min(4, height // 48)):
        _write(page, 48 * line + 34, generator)
    written, data = cv2.imencode(".jpg", page)
    assert written, "OpenCV has no JPEG encoder"
    return bytes(data)


def _write(page: np.ndarray[Any, Any], bottom: int, generator: random.Random) -> None:
    """A line of text that may be empty, or longer than the page is wide."""
    text = "".join(generator.choices(_LETTERS, k=generator.randint(0, 24)))
    scale, ink = generator.uniform(0.6, 1.1), generator.randint(0, 90)
    cv2.putText(page, text, (4, bottom), cv2.FONT_HERSHEY_SIMPLEX, scale, (ink, ink, ink), 2, cv2.LINE_AA)
