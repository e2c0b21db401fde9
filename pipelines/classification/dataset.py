"""The pipeline's own dataset: variations of photographs without labels, and photographs with the true class."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

from toolkit.data.dataset import VALIDATION
from toolkit.images import variations

# The number of the class is the last part of the name: imagenet_00_243.jpg.
_LABELLED = {"foolbox": "data/imagenet_*.jpg"}


def build(directory: Path, options: Mapping[str, Any], progress: Callable[[int, int], None]) -> None:
    """As `toolkit.images.variations.build`; labelled photographs judge, as they are, in PaddleClas's format.

    Those whose variations calibrate, or are searched with, do not.
    """
    variations.build(directory, options, progress)
    judging = variations.divided(variations.photographs(options["photographs"]))[VALIDATION]
    with (directory / "validation.txt").open("a", encoding="utf-8") as listed:
        for path in variations.photographs(_LABELLED):
            if path not in judging:
                continue
            shutil.copyfile(path, directory / "images" / path.name)
            listed.write(f"images/{path.name} {path.stem.rpartition('_')[2]}\n")
