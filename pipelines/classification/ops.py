"""Pre- and postprocessing of PP-LCNetV2 for ImageNet: what serving and evaluation both run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit.images.classify import ImageNetStep, answer
from toolkit.images.request import decode

__all__ = ["Classifier", "answer", "decode"]

# As in the file labels.txt of paddlelabel-ml 1.0.0, one class a line; part of every release, so that a service
# does not need that package.
_CLASSES = Path(__file__).with_name("classes.txt")


class Classifier(ImageNetStep):
    """ImageNet's thousand classes by their names; options as `ImageNetStep` has them."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options, _CLASSES.read_text(encoding="utf-8").splitlines())
