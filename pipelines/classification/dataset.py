"""The pipeline's own dataset: variations of photographs without labels, and twenty photographs with the true class."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

from toolkit.images import variations

# The number of the class is the last part of the name: imagenet_00_243.jpg.
_LABELLED = {"foolbox": "data/imagenet_*.jpg"}


def build(directory: Path, options: Mapping[str, Any], progress: Callable[[int, int], None]) -> None:
    """As `toolkit.images.variations.build`; the labelled photographs judge, as they are, in PaddleClas's format."""
    variations.build(directory, options, progress)
    with (directory / "validation.txt").open("a", encoding="utf-8") as listed:
        for path in variations.photographs(_LABELLED):
            shutil.copyfile(path, directory / "images" / path.name)
            listed.write(f"images/{path.name} {path.stem.rpartition('_')[2]}\n")
