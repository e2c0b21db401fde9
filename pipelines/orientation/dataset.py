"""The pipeline's own dataset: the text lines of the OCR pipeline's pages, every other one turned upside down."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

import cv2
import numpy as np

from toolkit import pipeline
from toolkit.data import labels
from toolkit.data.labels import Line

_PAGES = Path(__file__).resolve().parents[1] / "ocr"
_SPLITS = ("calibration", "search", "validation")


def build(directory: Path, options: Mapping[str, Any], progress: Callable[[int, int], None]) -> None:
    """Write `images/` and a label file for each split, in PaddleClas's format: 0 upright, 1 on its head.

    Args:
        options: those of the OCR pipeline's `pages:build`: `seed`, and `pages` of each split.
    """
    (directory / "images").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        pipeline.resolve(_PAGES, "pages:build")(Path(scratch), options, progress)
        for split in _SPLITS:
            rows = _cut(Path(scratch) / f"{split}.txt", directory, split)
            (directory / f"{split}.txt").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")


def _cut(listed: Path, directory: Path, split: str) -> list[str]:
    """Write the lines of the pages of a split as images; a row for each."""
    rows = []
    for sample in labels.read(listed):
        page = cv2.imread(str(sample.image))
        for line in labels.text_of(sample):
            if not line.legible:
                continue
            label = len(rows) % 2
            image = straight(page, line)
            name = f"images/{split}_{len(rows):05d}.png"
            cv2.imwrite(str(directory / name), np.rot90(image, 2) if label else image)
            rows.append(f"{name} {label}")
    return rows


def straight(page: np.ndarray[Any, Any], line: Line) -> np.ndarray[Any, Any]:
    """The part of `page` within the line's four corners, level."""
    corners = np.array(line.quad, np.float32)
    width, height = (max(1, round(float(np.linalg.norm(corners[0] - corners[end])))) for end in (1, 3))
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, target)
    return cv2.warpPerspective(page, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
