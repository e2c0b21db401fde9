"""What image classifiers share: from an image to their input, and from scores to names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import cv2
import numpy as np

from toolkit.errors import SpecError
from toolkit.pipeline import Arrays, Payload

Pixels = np.ndarray[Any, Any]

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)

# Of an image, at most so many times its shorter side is scaled.
_LONGEST = 16


class ImageNetStep:
    """A classifier as most networks for ImageNet are trained: the shorter side scaled, the centre cut out, normalised.

    The model has one input `image` and one output `scores`, probabilities or logits.

    Args:
        options: `resize` (pixels of the shorter side, 256), `crop` (side of the centre, 224), `mean` and `std` (of
            red, green, blue in 0..1; ImageNet's), `top` (classes in the answer, 5), `softmax` (whether the outputs are
            logits).
        names: of the classes, in the order of the scores; None: the numbers.

    Raises:
        SpecError: the centre is larger than what it is cut out of.
    """

    def __init__(self, options: Mapping[str, Any], names: Optional[Sequence[str]] = None) -> None:
        self._resize, self._crop = int(options.get("resize", 256)), int(options.get("crop", 224))
        if self._crop > self._resize:
            raise SpecError(f"options: crop {self._crop} is more than resize {self._resize}")
        self._mean, self._std = (
            np.array(options.get(name, default), np.float32)[:, None, None]
            for name, default in (("mean", _MEAN), ("std", _STD))
        )
        self._top, self._softmax = int(options.get("top", 5)), bool(options.get("softmax", False))
        self._names = names

    def preprocess(self, payload: Payload) -> list[Arrays]:
        """One feed: `image` (1, 3, crop, crop) float32, normalised, RGB."""
        image = centre(resize_short(payload["image"], self._resize), self._crop)
        planes = image[..., ::-1].transpose(2, 0, 1).astype(np.float32) / 255
        return [{"image": ((planes - self._mean) / self._std)[None]}]

    def postprocess(self, payload: Payload, outputs: list[Arrays]) -> Payload:
        """Adds `classes`: `id`, `name` and `score` of the likeliest, the first one first."""
        scores = np.asarray(outputs[0]["scores"][0], np.float64)
        if self._softmax:
            scores = np.exp(scores - scores.max())
            scores /= scores.sum()
        best = np.argsort(-scores, kind="stable")[: self._top]
        return {**payload, "classes": [self._class(int(number), float(scores[number])) for number in best]}

    def _class(self, number: int, score: float) -> dict[str, Any]:
        name = str(number) if self._names is None else self._names[number]
        return {"id": number, "name": name, "score": round(score, 4)}


def answer(payload: Payload) -> dict[str, Any]:
    """What the client gets: the likeliest classes."""
    return {"classes": payload["classes"]}


def resize_short(image: Pixels, size: int) -> Pixels:
    """`image` scaled so that its shorter side has `size` pixels; of a very long one, the middle."""
    short = min(image.shape[:2])
    # The rest is cut away in any case, and a line of pixels would become gigabytes.
    top, left = (max(0, (side - _LONGEST * short) // 2) for side in image.shape[:2])
    image = image[top : top + _LONGEST * short, left : left + _LONGEST * short]
    height, width = image.shape[:2]
    scale = size / min(height, width)
    longer = (max(size, round(width * scale)), max(size, round(height * scale)))
    return np.asarray(cv2.resize(image, longer))


def centre(image: Pixels, size: int) -> Pixels:
    """The middle `size` x `size` pixels of `image`."""
    top, left = ((side - size) // 2 for side in image.shape[:2])
    return image[top : top + size, left : left + size]
