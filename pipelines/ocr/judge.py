"""How the models of the OCR pipeline are judged: each by itself on the truth, and the whole from image to text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from toolkit.data.labels import Line, Sample, text_of
from toolkit.errors import DataError
from toolkit.evaluation.metrics import Counts, characters, match, normalise
from toolkit.pipeline import Payload

from .boxes import clockwise
from .ops import crop

# The annotators' boxes cut into the letters; the recognizer was trained on crops with a little air around them.
_MARGIN = 2


def load_image(sample: Sample) -> np.ndarray[Any, Any]:
    """The image of `sample`, (H, W, 3) uint8, BGR."""
    image = cv2.imread(str(sample.image), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError("the image cannot be decoded", where=str(sample.image))
    return image


def request(sample: Sample) -> Payload:
    """What the pipeline's first step gets for `sample`."""
    return {"image": load_image(sample)}


class Detection:
    """Harmonic mean of precision and recall of boxes at IoU 0.5."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._threshold = float(options.get("iou", 0.5))

    def payload(self, sample: Sample) -> Payload:
        """The whole image."""
        return request(sample)

    def counts(self, sample: Sample, payload: Payload) -> Counts:
        """Boxes matched; boxes on illegible text count for nobody."""
        lines = text_of(sample)
        pairs = match([line.quad for line in lines], payload["boxes"], self._threshold)
        illegible = sum(1 for row, _ in pairs if not lines[row].legible)
        legible = sum(1 for line in lines if line.legible)
        return Counts(len(pairs) - illegible, len(payload["boxes"]) - illegible, legible)


class Recognition:
    """Share of lines read exactly, on crops of the labelled boxes."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._exact = bool(options.get("exact", False))

    def payload(self, sample: Sample) -> Payload:
        """The crops of the legible lines."""
        image = load_image(sample)
        return {"image": image, "crops": [crop(image, _grown(line)) for line in _legible(sample)]}

    def counts(self, sample: Sample, payload: Payload) -> Counts:
        """Lines equal to their label."""
        lines = _legible(sample)
        right = sum(self._same(line.text, text) for line, (text, _) in zip(lines, payload["texts"]))
        return Counts(right, len(lines), len(lines))

    def _same(self, first: str, second: str) -> bool:
        return first == second if self._exact else normalise(first) == normalise(second)


class Characters(Recognition):
    """Share of characters read right, by edit distance: finer than whole lines, where those are long."""

    def counts(self, sample: Sample, payload: Payload) -> Counts:
        """Characters of the lines that need no edit."""
        read = [text for text, _ in payload["texts"]]
        wanted = [line.text for line in _legible(sample)]
        if self._exact:
            return characters(wanted, read)
        return characters([normalise(text) for text in wanted], [normalise(text) for text in read])


class Direction:
    """Share of lines whose direction is found, each shown upright and on its head."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        del options

    def payload(self, sample: Sample) -> Payload:
        """The crops of the legible lines, each upright and turned."""
        image = load_image(sample)
        upright = [crop(image, _grown(line)) for line in _legible(sample)]
        return {"image": image, "crops": [shown for one in upright for shown in (one, np.rot90(one, 2))]}

    def counts(self, sample: Sample, payload: Payload) -> Counts:
        """Upright crops left alone and turned ones turned back."""
        turned: list[bool] = payload["turned"]
        right = sum(was == bool(index % 2) for index, was in enumerate(turned))
        return Counts(right, len(turned), len(turned))


class Pages:
    """Share of labelled lines that the whole pipeline found and read exactly."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._recognition = Recognition(options)

    def payload(self, sample: Sample) -> Payload:
        """The whole image."""
        return request(sample)

    def counts(self, sample: Sample, answer: dict[str, Any]) -> Counts:
        """Lines of the pipeline's answer that lie on a labelled line and say the same."""
        lines = _legible(sample)
        pairs = match([line.quad for line in lines], [line["box"] for line in answer["lines"]])
        same = self._recognition._same
        right = sum(same(lines[row].text, answer["lines"][column]["text"]) for row, column in pairs)
        return Counts(right, len(answer["lines"]), len(lines))


def _legible(sample: Sample) -> list[Line]:
    return [line for line in text_of(sample) if line.legible]


def _corners(line: Line) -> np.ndarray[Any, Any]:
    """The line's box; of a polygon the smallest rectangle around it."""
    points = np.array(line.quad, dtype=np.float32)
    return points if len(points) == 4 else clockwise(cv2.boxPoints(cv2.minAreaRect(points)))


def _grown(line: Line) -> np.ndarray[Any, Any]:
    """The line's box with a margin of some pixels on every side."""
    box = _corners(line)
    centre = box.mean(axis=0)
    along, down = box[1] - box[0], box[3] - box[0]
    units = [vector / max(1e-6, float(np.linalg.norm(vector))) for vector in (along, down)]
    signs = [np.sign((box - centre) @ unit)[:, None] * unit for unit in units]
    return np.asarray(box + _MARGIN * (signs[0] + signs[1]), dtype=np.float32)
