"""Builds the data set: draws each page from its own seed, encodes it, writes images and label files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

import cv2
import numpy as np

from . import fonts
from .camera import photograph, shot
from .form import form
from .marks import mark
from .page import Page, label
from .receipt import receipt
from .sheet import Sheet
from .sign import notice, sign

SPLITS = ("calibration", "search", "validation")

LAYOUTS: tuple[Callable[[np.random.Generator], Sheet], ...] = (
    receipt,
    form,
    sign,
    receipt,
    notice,
    form,
    receipt,
    sign,
)
"""Page number n of a split has layout n modulo their number, so that a small split has all of them."""


def build(directory: Path, options: Mapping[str, Any], progress: Callable[[int, int], None]) -> None:
    """Writes `images/` and one label file per split into the directory.

    Options: `seed`, and `pages`, the number of pages of each split. The same options give the same bytes with
    the same versions of Pillow, OpenCV, NumPy and the fonts. Raises FontMissing before anything is written.
    """
    fonts.check()
    seed, counts = int(options["seed"]), pages_of(options)
    (directory / "images").mkdir(parents=True, exist_ok=True)
    done, total = 0, sum(counts.values())
    for split, count in counts.items():
        labels: list[str] = []
        for index in range(count):
            labels.append(write(directory, seed, split, index))
            done += 1
            progress(done, total)
        (directory / f"{split}.txt").write_text("".join(line + "\n" for line in labels), encoding="utf-8")


def pages_of(options: Mapping[str, Any]) -> dict[str, int]:
    """The number of pages of each split; ValueError for a split that does not exist."""
    counts = {str(split): int(count) for split, count in options["pages"].items()}
    unknown = sorted(set(counts) - set(SPLITS))
    if unknown:
        raise ValueError(
            f"dataset.pages: unknown split {', '.join(unknown)}; the splits are {', '.join(SPLITS)}"
        )
    return {split: counts.get(split, 0) for split in SPLITS}


def source(seed: int, split: str, index: int) -> np.random.Generator:
    """The random numbers of one page: they depend on nothing but these three."""
    return np.random.default_rng([seed, SPLITS.index(split), index])


def page(rng: np.random.Generator, index: int) -> Page:
    """Draws one page: layout, marks, camera. Its difficulty is spread evenly from easy to hard."""
    difficulty = float(rng.random())
    sheet = LAYOUTS[index % len(LAYOUTS)](rng)
    mark(sheet, difficulty)
    return photograph(
        sheet.pixels, tuple(sheet.lines), shot(rng, difficulty, sheet.size, sheet.contrast), rng
    )


def write(directory: Path, seed: int, split: str, index: int) -> str:
    """Draws a page and writes its image; returns its line of the label file."""
    rng = source(seed, split, index)
    drawn = page(rng, index)
    name, data = encoded(drawn, rng)
    path = f"images/{split}_{index:03d}.{name}"
    (directory / path).write_bytes(data)
    return label(path, drawn.lines)


def encoded(drawn: Page, rng: np.random.Generator) -> tuple[str, bytes]:
    """The image as a file, and its suffix: one in eight is PNG, the others JPEG of quality 25 to 95."""
    if rng.random() < 0.125:
        data = cv2.imencode(".png", drawn.image)[1]
        return "png", data.tobytes()
    quality = int(95 - 70 * float(rng.random()) ** 1.5)
    data = cv2.imencode(".jpg", drawn.image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return "jpg", data.tobytes()
