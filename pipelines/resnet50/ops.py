"""Pre- and postprocessing of a classifier that is trained on ImageNet; its classes have numbers, not names."""

from __future__ import annotations

from toolkit.images.classify import ImageNetStep, answer
from toolkit.images.request import decode
from toolkit.images.variations import build

__all__ = ["Classifier", "answer", "build", "decode"]


class Classifier(ImageNetStep):
    """Options as `ImageNetStep` has them."""
