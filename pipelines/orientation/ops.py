"""Pre- and postprocessing of the direction classifier: what serving and evaluation both run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from toolkit.images.request import decode
from toolkit.pipeline import Arrays, Payload

__all__ = ["Classifier", "answer", "decode"]

# By the number of the class.
ANGLES = (0, 180)


class Classifier:
    """Says whether a line of text stands on its head.

    Args:
        options: `height` and `width`, in pixels, that lines are scaled and padded to.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._height, self._width = int(options.get("height", 48)), int(options.get("width", 192))

    def preprocess(self, payload: Payload) -> list[Arrays]:
        """One feed: `image` (1, 3, height, width) float32, -1..1, zeros to the right of a short line."""
        image = payload["image"]
        needed = math.ceil(self._height * image.shape[1] / image.shape[0])
        width = min(self._width, max(1, needed))
        scaled = cv2.resize(image, (width, self._height)).astype(np.float32)
        padded = np.zeros((1, 3, self._height, self._width), np.float32)
        padded[0, :, :, :width] = (scaled / 127.5 - 1).transpose(2, 0, 1)
        return [{"image": padded}]

    def postprocess(self, payload: Payload, outputs: list[Arrays]) -> Payload:
        """Adds `direction`, the number of the class, and its `score`."""
        scores = outputs[0]["direction"][0]
        direction = int(np.argmax(scores))
        return {**payload, "direction": direction, "score": float(scores[direction])}


def answer(payload: Payload) -> dict[str, Any]:
    """What the client gets: by how many degrees the line is turned, and how sure that is."""
    return {"angle": ANGLES[payload["direction"]], "score": round(payload["score"], 4)}
