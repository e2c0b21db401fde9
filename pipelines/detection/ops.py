"""Pre- and postprocessing of PicoDet for COCO: what serving and evaluation both run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit.images.detect import DetectionStep, answer
from toolkit.images.request import decode

__all__ = ["Detector", "answer", "decode"]

# As in the file infer_cfg.yml beside the model in paddlelabel-ml 1.0.0, one class a line; part of every release, so
# that a service does not need that package.
_CLASSES = Path(__file__).with_name("classes.txt")


class Detector(DetectionStep):
    """COCO's eighty classes by their names; options as `DetectionStep` has them."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options, _CLASSES.read_text(encoding="utf-8").splitlines())
