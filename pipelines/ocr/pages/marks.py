"""What happens to a sheet before it is photographed: folds, stains, stamps, pen strokes through text."""

from __future__ import annotations

import cv2
import numpy as np

from .page import Field
from .sheet import Sheet

SPILL = (60.0, 110.0, 150.0)
STAMP = (50.0, 50.0, 190.0)


def mark(sheet: Sheet, amount: float) -> None:
    """Leaves some of each kind of mark; amount is 0 (clean) to 1."""
    rng = sheet.rng
    for _ in range(int(rng.poisson(1.6 * amount))):
        fold(sheet, float(rng.uniform(12, 60)))
    for _ in range(int(rng.poisson(1.2 * amount))):
        stain(sheet, float(rng.uniform(0.15, 0.7)))
    if rng.random() < 0.5 * amount:
        stamp(sheet, float(rng.uniform(0.25, 0.75)))
    for line in range(len(sheet.lines)):
        if rng.random() < 0.12 * amount and strikable(sheet, line):
            strike(sheet, line)


def blend(sheet: Sheet, cover: Field, colour: tuple[float, float, float]) -> None:
    """Tints the sheet where cover, float32 [height, width] from 0 to 1, says; ink below still shows."""
    tinted = sheet.pixels * (np.asarray(colour, dtype=np.float32) / np.float32(255.0))
    sheet.pixels += cover[:, :, np.newaxis] * (tinted - sheet.pixels)


def fold(sheet: Sheet, depth: float) -> None:
    """A crease across the sheet: a dark and a light edge side by side, up to `depth` grey levels."""
    rng = sheet.rng
    upright = rng.random() < 0.3
    length, across = (sheet.height, sheet.width) if upright else (sheet.width, sheet.height)
    place, slope, soft = across * rng.uniform(0.1, 0.9), rng.normal(0, 0.02), rng.uniform(1.5, 7.0)
    along = np.arange(length, dtype=np.float32)[np.newaxis, :]
    over = np.arange(across, dtype=np.float32)[:, np.newaxis]
    distance = (over - place - slope * along) / soft
    shade = (depth * distance * np.exp(-(distance**2))).astype(np.float32)
    sheet.pixels += (shade.T if upright else shade)[:, :, np.newaxis]


def stain(sheet: Sheet, strength: float) -> None:
    """A spill: an ellipse, often only its rim, as a cup leaves it."""
    rng = sheet.rng
    cover = np.zeros((sheet.height, sheet.width), dtype=np.float32)
    centre = (int(rng.uniform(0, sheet.width)), int(rng.uniform(0, sheet.height)))
    axes = (int(rng.uniform(30, 150)), int(rng.uniform(30, 150)))
    thick = int(rng.integers(4, 16)) if rng.random() < 0.5 else -1
    cv2.ellipse(cover, centre, axes, float(rng.uniform(0, 180)), 0, 360, (strength,), thick, cv2.LINE_AA)
    blend(sheet, cv2.blur(cover, (9, 9)), SPILL)


def stamp(sheet: Sheet, strength: float) -> None:
    """A round stamp without words: two rings and a bar, in red ink over the text."""
    rng = sheet.rng
    cover = np.zeros((sheet.height, sheet.width), dtype=np.float32)
    centre = (int(rng.uniform(0.2, 0.9) * sheet.width), int(rng.uniform(0.3, 0.95) * sheet.height))
    radius = int(rng.uniform(45, 95))
    cv2.circle(cover, centre, radius, (strength,), int(rng.integers(3, 7)), cv2.LINE_AA)
    cv2.circle(cover, centre, int(radius * 0.72), (strength,), 2, cv2.LINE_AA)
    for turn in np.arange(5) * 1.2566 + float(rng.uniform(0, 1)):
        tip = (int(centre[0] + radius * 0.5 * np.cos(turn)), int(centre[1] + radius * 0.5 * np.sin(turn)))
        cv2.line(cover, centre, tip, (strength,), 5, cv2.LINE_AA)
    blend(sheet, cover, STAMP)


def strikable(sheet: Sheet, line: int) -> bool:
    """Whether a line can still be read under a stroke: long, and no digits, of which a stroke makes others."""
    left, top, right, bottom = sheet.boxes[line]
    return right - left > 3 * (bottom - top) and not any(
        letter.isdigit() for letter in sheet.lines[line].text
    )


def strike(sheet: Sheet, line: int) -> None:
    """A pen stroke through most of a line, thin enough that it can still be read."""
    rng = sheet.rng
    left, top, right, bottom = sheet.boxes[line]
    ends = np.sort(rng.uniform(left, right, 2))
    heights = rng.uniform(top + 0.2 * (bottom - top), bottom, 2)
    points = [(int(x), int(y)) for x, y in zip(ends, heights)]
    colour = (120.0, 40.0, 30.0) if rng.random() < 0.5 else (40.0, 40.0, 40.0)
    cv2.line(sheet.pixels, points[0], points[1], colour, 1 + int(bottom - top > 24), cv2.LINE_AA)
