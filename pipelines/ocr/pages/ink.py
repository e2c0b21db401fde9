"""A line of text as ink: a mask cropped to exactly the pixels that the glyphs cover, and how it was printed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .fonts import CAPITALS_ONLY, opened

VISIBLE = 48
"""Coverage, 0 to 255, from which a pixel counts as ink when the box of a line is taken."""


LEAST = np.float32(0.5)
"""The share of its ink a badly printed spot keeps: a decimal point must not vanish from under its label."""


@dataclass(frozen=True)
class Pen:
    """How text is set: face, size in pixels per em, horizontal scale, extra space between letters, weight."""

    face: str
    size: int
    squeeze: float = 1.0
    spacing: float = 0.0
    bold: bool = False

    def sized(self, factor: float) -> Pen:
        """The same pen at another size, never under 9 pixels per em."""
        return replace(self, size=max(9, round(self.size * factor)))


@dataclass(frozen=True)
class Ink:
    """A drawn line: its text, its coverage mask (uint8, tight), and the rows from its top to its baseline."""

    text: str
    mask: NDArray[np.uint8]
    rise: int

    @property
    def width(self) -> int:
        """Pixels from the first ink to the last."""
        return int(self.mask.shape[1])

    @property
    def height(self) -> int:
        """Pixels from the highest ink to the lowest."""
        return int(self.mask.shape[0])


def ink(text: str, pen: Pen) -> Ink:
    """Draws the text; what it returns holds all its ink and no empty border."""
    text = text.upper() if pen.face in CAPITALS_ONLY else text
    font = opened(pen.face, pen.size)
    step = pen.spacing * pen.size
    stroke = 1 if pen.bold else 0
    baseline = int(pen.size * 1.4) + 2
    width = int(font.getlength(text) + step * len(text) + pen.size * 1.5) + 4
    image = Image.new("L", (width, int(pen.size * 2.0) + 4))
    draw = ImageDraw.Draw(image)
    left = pen.size * 0.5
    for piece in text if step else (text,):
        draw.text((left, baseline), piece, fill=255, font=font, anchor="ls", stroke_width=stroke)
        left += font.getlength(piece) + step
    mask = np.asarray(image)
    if pen.squeeze != 1.0:
        mask = cv2.resize(
            mask, (max(1, int(width * pen.squeeze)), mask.shape[0]), interpolation=cv2.INTER_AREA
        )
    return cropped(text, mask, baseline)


def cropped(text: str, mask: NDArray[np.uint8], baseline: int) -> Ink:
    """The mask without its empty border."""
    rows = np.flatnonzero((mask >= VISIBLE).any(axis=1))
    columns = np.flatnonzero((mask >= VISIBLE).any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    return Ink(text, np.ascontiguousarray(mask[top:bottom, left:right]), int(baseline - top))


def worn(drawn: Ink, wear: float, rng: np.random.Generator) -> Ink:
    """The same line badly printed; wear is 0 (crisp) to 1. The box stays that of the whole glyphs."""
    mask = drawn.mask.astype(np.float32)
    mask = mask * speckle(drawn, wear, rng) if rng.random() < 0.5 else mask * bands(drawn, wear, rng)
    return replace(drawn, mask=np.clip(mask, 0, 255).astype(np.uint8))


def speckle(drawn: Ink, wear: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """float32 factors [height, width]: grains of missing ink, about two pixels wide."""
    shape = (drawn.height // 2 + 1, drawn.width // 2 + 1)
    grains = np.where(rng.random(shape, dtype=np.float32) > 0.55 * wear, 1.0, LEAST).astype(np.float32)
    factors = cv2.resize(grains, (drawn.width, drawn.height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(factors, dtype=np.float32)


def bands(drawn: Ink, wear: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """float32 factors [1, width]: a thermal head that prints some columns paler than others."""
    points = max(2, drawn.width // 40)
    knots = 1.0 - (1.0 - LEAST) * wear * rng.random(points, dtype=np.float32)
    factors = cv2.resize(knots[np.newaxis, :], (drawn.width, 1), interpolation=cv2.INTER_LINEAR)
    return np.asarray(factors, dtype=np.float32)
