"""What detectors exported by PaddleDetection share: from an image to their inputs, and from rows to named boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import cv2
import numpy as np

from toolkit.pipeline import Arrays, Payload

Array = np.ndarray[Any, Any]

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class DetectionStep:
    """A detector of a fixed size with non-maximum suppression in the model, as PaddleDetection exports it.

    The model has the inputs `image` and `scale_factor`, by which it divides its boxes so that they are in pixels of the
    image that it was given, and the outputs `boxes`, as many rows of class, score, left, top, right and bottom as it
    found, and `count`, their number.

    Args:
        options: `height` and `width` (pixels that images are stretched to, 416), `mean` and `std` (of red, green, blue
            in 0..1; ImageNet's), `threshold` (least score in the answer, 0.5), `top` (boxes in the answer, 100).
        names: of the classes, in the order of their numbers; None: the numbers.
    """

    def __init__(self, options: Mapping[str, Any], names: Optional[Sequence[str]] = None) -> None:
        self._height, self._width = int(options.get("height", 416)), int(options.get("width", 416))
        self._mean, self._std = (
            np.array(options.get(name, default), np.float32)[:, None, None]
            for name, default in (("mean", _MEAN), ("std", _STD))
        )
        self._threshold, self._top = float(options.get("threshold", 0.5)), int(options.get("top", 100))
        self._names = names

    def preprocess(self, payload: Payload) -> list[Arrays]:
        """One feed, float32: `image` (1, 3, height, width), RGB; `scale_factor` (1, 2), of height and of width."""
        image = payload["image"]
        stretched = cv2.resize(image, (self._width, self._height), interpolation=cv2.INTER_CUBIC)
        planes = stretched[..., ::-1].transpose(2, 0, 1).astype(np.float32) / 255
        scale = np.array([[self._height / image.shape[0], self._width / image.shape[1]]], np.float32)
        return [{"image": ((planes - self._mean) / self._std)[None], "scale_factor": scale}]

    def postprocess(self, payload: Payload, outputs: list[Arrays]) -> Payload:
        """Adds `objects`: `id` and `name` of the class, `score`, and `box` (left, top, right, bottom, in pixels).

        Those of the highest score come first; boxes are clipped to the image, and those without an area left out.
        """
        height, width = payload["image"].shape[:2]
        rows = rows_of(outputs[0]["boxes"], outputs[0]["count"])
        rows = rows[rows[:, 1] >= self._threshold]
        rows = rows[np.argsort(-rows[:, 1], kind="stable")]
        rows[:, 2:] = np.clip(rows[:, 2:], 0, [width, height, width, height]).round(1)
        rows = rows[(rows[:, 2:4] < rows[:, 4:]).all(axis=1)][: self._top]
        return {**payload, "objects": [self._object(row) for row in rows.tolist()]}

    def _object(self, row: Sequence[float]) -> dict[str, Any]:
        number = int(row[0])
        name = str(number) if self._names is None else self._names[number]
        return {"id": number, "name": name, "score": round(row[1], 4), "box": row[2:]}


def rows_of(boxes: Array, count: Array) -> Array:
    """What the model found: (n, 6) float64; n may be zero, whatever stands in `boxes` then."""
    found = int(count.sum())
    return np.array(boxes.reshape(-1, 6)[:found] if found else np.zeros((0, 6)), np.float64)


def answer(payload: Payload) -> dict[str, Any]:
    """What the client gets: the objects, the surest first, and the size of the image in pixels."""
    height, width = payload["image"].shape[:2]
    return {"objects": payload["objects"], "width": width, "height": height}
