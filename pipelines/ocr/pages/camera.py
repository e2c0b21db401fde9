"""What a camera or scanner makes of a sheet: perspective, light, focus, exposure, sensor noise.

Everything geometric is one homography, applied to the pixels and to the labels alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .page import Field, Image, Line, Page, Quad

Homography = NDArray[np.float64]

SEVERITY = 1.6
"""How much of all faults together the hardest page has, in units of one fault at its worst."""


@dataclass(frozen=True)
class Shot:
    """How a sheet is taken.

    turn in degrees; tilt as the share of a side by which a corner may be off; blur and motion in pixels;
    light as the relative change across the page; exposure as a factor; flat as the share of contrast lost;
    noise in grey levels; detail as the share of the resolution that was really recorded.
    """

    turn: float
    tilt: float
    blur: float
    motion: float
    detail: float
    light: float
    exposure: float
    flat: float
    noise: float


def shot(rng: np.random.Generator, difficulty: float, size: float, contrast: float) -> Shot:
    """Draws a shot of this difficulty, 0 to 1, of type of this size in pixels per em and contrast, 0 to 1.

    The faults share the difficulty, so that a page is dark or blurred or noisy but seldom all of it; blur goes
    with the size of the type and noise with its contrast. Otherwise half of the hard pages could not be read at all.
    """
    share = np.minimum(1.0, SEVERITY * difficulty * rng.dirichlet(np.full(7, 0.7)))
    bears = min(size / 24.0, 1.5)
    dark = rng.random() < 0.7
    return Shot(
        turn=float(rng.normal(0, 0.25 + 0.6 * difficulty)),
        tilt=0.03 * difficulty * float(rng.random()),
        blur=1.4 * bears * float(share[0]),
        motion=3.2 * bears * float(share[1]),
        detail=1.0 - 0.38 * float(share[2]),
        light=0.85 * float(share[3]),
        exposure=1.0 - 0.7 * float(share[4]) if dark else 1.0 + 0.5 * float(share[4]),
        flat=0.75 * float(share[5]),
        noise=22.0 * bears * contrast * float(share[6]),
    )


def photograph(sheet: Field, lines: tuple[Line, ...], taken: Shot, rng: np.random.Generator) -> Page:
    """The page as the sensor gives it, with the labels where the lines went."""
    matrix, size = pose(sheet.shape[1], sheet.shape[0], taken, rng)
    seen = laid(np.clip(sheet, 0, 255).astype(np.uint8), matrix, size, rng).astype(np.float32)
    seen = lit(focused(seen, taken, rng), taken, rng)
    return Page(exposed(seen, taken, rng), tuple(Line(line.text, moved(line.quad, matrix)) for line in lines))


def moved(quad: Quad, matrix: Homography) -> Quad:
    """A quadrilateral under a homography."""
    return np.asarray(cv2.perspectiveTransform(quad[np.newaxis], matrix)[0], dtype=np.float64)


def pose(
    width: int, height: int, taken: Shot, rng: np.random.Generator
) -> tuple[Homography, tuple[int, int]]:
    """The homography from sheet to image, and the image's width and height: the whole sheet stays in view."""
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)
    angle = np.deg2rad(taken.turn)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = flat @ turn + rng.uniform(-1, 1, (4, 2)) * taken.tilt * min(width, height)
    border = rng.uniform(0.0, 0.03) * min(width, height)
    corners += border - corners.min(axis=0)
    size = np.ceil(corners.max(axis=0) + border).astype(int)
    matrix = cv2.getPerspectiveTransform(flat.astype(np.float32), corners.astype(np.float32))
    return np.asarray(matrix, dtype=np.float64), (int(size[0]), int(size[1]))


def laid(sheet: Image, matrix: Homography, size: tuple[int, int], rng: np.random.Generator) -> Image:
    """The sheet on a plain surface: a desk, a scanner's lid, or more of the same as far as one sees."""
    edge, desk = cv2.BORDER_CONSTANT, rng.uniform(15, 245) + rng.uniform(-12, 12, 3)
    if rng.random() < 0.4:
        edge = cv2.BORDER_REPLICATE
    value = tuple(float(each) for each in np.clip(desk, 0, 255))
    return np.asarray(
        cv2.warpPerspective(sheet, matrix, size, flags=cv2.INTER_LINEAR, borderMode=edge, borderValue=value)
    )


def focused(pixels: Field, taken: Shot, rng: np.random.Generator) -> Field:
    """Out of focus, shaken, or recorded with too few pixels."""
    height, width = pixels.shape[:2]
    if taken.detail < 0.99:
        small = (max(8, int(width * taken.detail)), max(8, int(height * taken.detail)))
        pixels = cv2.resize(cv2.resize(pixels, small, interpolation=cv2.INTER_AREA), (width, height))
    if taken.blur > 0.2:
        pixels = cv2.GaussianBlur(pixels, (0, 0), taken.blur)
    if taken.motion >= 1.5:
        pixels = cv2.filter2D(pixels, -1, streak(taken.motion, float(rng.uniform(0, np.pi))))
    return pixels


def streak(length: float, angle: float) -> Field:
    """The kernel of a movement of that many pixels; its sum is 1."""
    side = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((side, side), dtype=np.float32)
    for along in np.linspace(-length / 2, length / 2, 4 * side):
        x, y = side // 2 + along * np.cos(angle), side // 2 + along * np.sin(angle)
        kernel[int(np.rint(y)), int(np.rint(x))] += 1
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def lit(pixels: Field, taken: Shot, rng: np.random.Generator) -> Field:
    """Uneven light over the page, and over some pages the edge of a shadow."""
    height, width = pixels.shape[:2]
    lamps = 1.0 - taken.light * rng.random((3, 3), dtype=np.float32)
    light = cv2.resize(lamps, (width, height), interpolation=cv2.INTER_CUBIC)
    if taken.light > 0.25 and rng.random() < 0.5:
        x = np.arange(width, dtype=np.float32)[np.newaxis, :] - width * rng.uniform(0.2, 0.8)
        y = np.arange(height, dtype=np.float32)[:, np.newaxis] * rng.normal(0, 0.5)
        into = np.tanh((x + y) / rng.uniform(4, 80)).astype(np.float32)
        light = light * (1.0 - np.float32(0.3 * taken.light) * (1.0 + into))
    return np.asarray(pixels * np.clip(light, 0.06, 1.2)[:, :, np.newaxis], dtype=np.float32)


def exposed(pixels: Field, taken: Shot, rng: np.random.Generator) -> Image:
    """What the sensor counts: contrast, exposure, and noise that is partly the same in all three colours."""
    pixels = (pixels * np.float32(1.0 - taken.flat) + np.float32(taken.flat * 128.0)) * np.float32(
        taken.exposure
    )
    if taken.noise > 0.5:
        grey = rng.standard_normal(pixels.shape[:2], dtype=np.float32)
        pixels += np.float32(taken.noise) * grey[:, :, np.newaxis]
    return np.clip(pixels, 0, 255).astype(np.uint8)
