"""What a finished page is: its pixels, and each line of text with the quadrilateral of its ink."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""uint8 [height, width, 3], blue-green-red as OpenCV reads and writes it."""

Field = NDArray[np.float32]
"""float32 pixels, 0 to 255, or float32 factors; the shape is given where it is used."""

Quad = NDArray[np.float64]
"""float64 [4, 2]: x, y in pixels, clockwise from the top left corner of the line as it is read."""


@dataclass(frozen=True)
class Line:
    """One line of text: exactly the characters drawn, and where."""

    text: str
    quad: Quad


@dataclass(frozen=True)
class Page:
    """An image with the lines on it."""

    image: Image
    lines: tuple[Line, ...]


def label(path: str, lines: tuple[Line, ...]) -> str:
    """One line of a label file in PaddleOCR's format: the image's path, a tab, a JSON list of lines."""
    entries = [{"transcription": line.text, "points": np.round(line.quad, 1).tolist()} for line in lines]
    return path + "\t" + json.dumps(entries, ensure_ascii=False)
