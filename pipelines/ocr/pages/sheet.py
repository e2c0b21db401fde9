"""A sheet of paper: what is drawn on it, the lines written so far, and the room they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .ink import Ink, Pen, ink, worn
from .page import Field, Line, Quad

Colour = tuple[float, float, float]
"""Blue, green, red; 0 to 255."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are outside."""

MARGIN = 2.5
"""Pixels between the outermost ink of a line and its label's quadrilateral, before the camera.

PP-OCR's detector answers with about four; with one pixel only, right answers on small type miss IoU 0.5.
"""


@dataclass(frozen=True)
class Cell:
    """A line to write: where it stands (x is its left, middle or right by `align`) and how it is printed."""

    text: str
    pen: Pen
    x: float
    align: str = "left"
    colour: Colour = (20.0, 20.0, 20.0)
    strength: float = 1.0
    wear: float = 0.0


class Sheet:
    """Pixels under the pen, float32 [height, width, 3], and a label for every line that found room.

    A line that would leave the sheet or come too near another is not drawn and not labelled.
    `size` (pixels per em) and `contrast` (0 to 1) of its common type say how much the camera may spoil.
    """

    def __init__(self, paper: Field, rng: np.random.Generator, size: float, contrast: float) -> None:
        self.pixels = paper
        self.rng = rng
        self.size, self.contrast = size, contrast
        self.lines: list[Line] = []
        self.boxes: list[Box] = []
        self.height, self.width = int(paper.shape[0]), int(paper.shape[1])

    def row(self, top: float, cells: Sequence[Cell]) -> float:
        """Writes cells on one baseline under `top`; returns the lowest pixel they could reach."""
        drawn = [ink(cell.text, cell.pen) for cell in cells]
        baseline = int(top) + max(each.rise for each in drawn)
        for cell, each in zip(cells, drawn):
            self.write(cell, each, baseline)
        return float(baseline + max(each.height - each.rise for each in drawn))

    def write(self, cell: Cell, drawn: Ink, baseline: int) -> bool:
        """Puts a drawn line down, if there is room for it."""
        shift = {"left": 0.0, "middle": 0.5, "right": 1.0}[cell.align]
        left, top = int(cell.x - shift * drawn.width), baseline - drawn.rise
        box = (left, top, left + drawn.width, top + drawn.height)
        if not self.free(box):
            return False
        printed = worn(drawn, cell.wear, self.rng) if cell.wear > 0 else drawn
        area = self.pixels[box[1] : box[3], box[0] : box[2]]
        cover = (printed.mask.astype(np.float32) * np.float32(cell.strength / 255.0))[:, :, np.newaxis]
        area += cover * (np.asarray(cell.colour, dtype=np.float32) - area)
        self.boxes.append(box)
        self.lines.append(Line(drawn.text, corners(box, MARGIN)))
        return True

    def free(self, box: Box) -> bool:
        """Whether a line fits: on the sheet, and far enough from the others to be seen as one of its own."""
        left, top, right, bottom = box
        edge = int(2 * MARGIN)
        if left < edge or top < edge or right > self.width - edge or bottom > self.height - edge:
            return False
        aside, above = int(1.8 * (bottom - top)) + 4, int(2 * MARGIN) + 2
        return not any(
            left - aside < other[2]
            and other[0] < right + aside
            and top - above < other[3]
            and other[1] < bottom + above
            for other in self.boxes
        )

    def trim(self, below: float) -> None:
        """Cuts the sheet that many pixels under its lowest line."""
        lowest = max(box[3] for box in self.boxes)
        self.height = min(self.height, int(lowest + below))
        self.pixels = np.ascontiguousarray(self.pixels[: self.height])

    def fill(self, box: Box, colour: Colour, strength: float = 1.0) -> None:
        """Paints a rectangle; write text on it afterwards."""
        left, top, right, bottom = (max(0, int(side)) for side in box)
        area = self.pixels[top:bottom, left:right]
        area += np.float32(strength) * (np.asarray(colour, dtype=np.float32) - area)

    def rule(
        self, start: tuple[float, float], end: tuple[float, float], colour: Colour, thickness: int = 1
    ) -> None:
        """Draws a straight line of a form."""
        ends = [(int(point[0]), int(point[1])) for point in (start, end)]
        cv2.line(self.pixels, ends[0], ends[1], colour, thickness, cv2.LINE_AA)


def corners(box: Box, margin: float) -> Quad:
    """The quadrilateral of a box with that margin around it, in pixel coordinates."""
    left, top, right, bottom = (float(side) for side in box)
    return np.array(
        [
            [left - margin, top - margin],
            [right - 1 + margin, top - margin],
            [right - 1 + margin, bottom - 1 + margin],
            [left - margin, bottom - 1 + margin],
        ]
    )
