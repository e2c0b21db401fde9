"""The pipeline's own dataset: variations of photographs without labels, and an image with nothing in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

import cv2
import numpy as np

from toolkit.images import variations

_EMPTY = "images/empty.png"


def build(directory: Path, options: Mapping[str, Any], progress: Callable[[int, int], None]) -> None:
    """As `toolkit.images.variations.build`; the first image that judges is plain grey.

    So the empty answer is among the golden ones, with which every service is verified.
    """
    variations.build(directory, options, progress)
    cv2.imwrite(str(directory / _EMPTY), np.full((320, 480, 3), 128, np.uint8))
    listed = directory / "validation.txt"
    listed.write_text(f"{_EMPTY}\n{listed.read_text(encoding='utf-8')}", encoding="utf-8")
