"""Pre- and postprocessing of PP-OCRv4: what serving and evaluation both run.

A request's payload grows step by step: `image` (H, W, 3, uint8, BGR), then `boxes` (n, 4, 2, pixels), then `crops`
and `texts` (text and score each).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from toolkit.images.read import MAX_SIDE
from toolkit.images.request import decode as decode  # the spec's `request`
from toolkit.pipeline import Arrays, Payload, Shapes

from .boxes import Boxes

# ImageNet's, in the order in which PaddleOCR applies them to BGR images.
_DETECTOR_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
_DETECTOR_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
# What becomes of each value of a byte, by channel: a tenth of the time that the arithmetic takes.
_NORMALISED = ((np.arange(256, dtype=np.float32)[:, None] / 255 - _DETECTOR_MEAN) / _DETECTOR_STD).T.copy()


class Detector:
    """Finds text lines: the whole image in, a box around each line out.

    Args:
        options: `limit` (longest side in pixels), `multiple` (sides are multiples of it), `threshold` (of a pixel),
            `box_threshold` (mean of a box), `unclip` (growth of a box), `max_boxes` (in one image), `warm` (heights and
            widths, in pixels, that a replica makes itself ready for).
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._limit = int(options.get("limit", 960))
        self._multiple = int(options.get("multiple", 32))
        self._warm = [(int(height), int(width)) for height, width in options.get("warm", ())]
        self._boxes = Boxes(options)

    def preprocess(self, payload: Payload) -> list[Arrays]:
        """One feed: `image` (1, 3, h, w) float32, normalised."""
        image = payload["image"]
        height, width = self._size(*image.shape[:2])
        channels = cv2.split(cv2.resize(image, (width, height)))
        planes = np.empty((1, 3, height, width), np.float32)
        for table, channel, plane in zip(_NORMALISED, channels, planes[0]):
            cv2.LUT(channel, table, plane)
        return [{"image": planes}]

    def shapes(self) -> list[Shapes]:
        """Those of `warm`: there are hundreds, and images of one kind have few of them."""
        return [{"image": (1, 3, height, width)} for height, width in self._warm]

    def _size(self, height: int, width: int) -> tuple[int, int]:
        ratio = min(1.0, self._limit / max(height, width))
        step = self._multiple
        return (
            max(step, round(int(height * ratio) / step) * step),
            max(step, round(int(width * ratio) / step) * step),
        )

    def postprocess(self, payload: Payload, outputs: list[Arrays]) -> Payload:
        """Adds `boxes`, (n, 4, 2) float32, in reading order.

        Raises:
            Unprocessable: there are more than `max_boxes`.
        """
        (probability,) = outputs[0]["probability"][0]
        return {**payload, "boxes": self._boxes.find(probability, *payload["image"].shape[:2])}


def crop(image: np.ndarray[Any, Any], box: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The part of `image` inside the quadrilateral `box`, straightened; tall ones are turned to lie."""
    corners = np.asarray(box, dtype=np.float32)
    upright = _upright(image, corners)
    if upright is not None:
        return _lying(upright)
    width = _side(corners[0] - corners[1], corners[2] - corners[3])
    height = _side(corners[0] - corners[3], corners[1] - corners[2])
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    matrix = cv2.getPerspectiveTransform(corners, target)
    straight = cv2.warpPerspective(
        image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE, flags=cv2.INTER_CUBIC
    )
    return _lying(straight)


def _upright(image: np.ndarray[Any, Any], corners: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """What is inside an upright rectangle of whole pixels, as straightening gives it; None: it is no such rectangle."""
    left, top, right, bottom = map(int, corners[[0, 2]].ravel())
    if not (0 <= left < right <= image.shape[1] and 0 <= top < bottom <= image.shape[0]):
        return None
    same = np.array_equal(corners, [[left, top], [right, top], [right, bottom], [left, bottom]])
    return image[top:bottom, left:right] if same else None


def _lying(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.rot90(image) if image.shape[0] >= image.shape[1] * 1.5 else image


def _side(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> int:
    longer = round(float(max(np.linalg.norm(first), np.linalg.norm(second))))
    return min(MAX_SIDE, max(1, longer))


def crops_of(payload: Payload) -> list[np.ndarray[Any, Any]]:
    """The payload's crops, cut from its boxes where no earlier step has done it."""
    if "crops" in payload:
        return list(payload["crops"])
    return [crop(payload["image"], box) for box in payload["boxes"]]


def resize_to_height(image: np.ndarray[Any, Any], height: int, width: int) -> np.ndarray[Any, Any]:
    """`image` scaled to `height` and at most `width`, normalised to -1..1, zeros to its right: (3, height, width)."""
    scaled_width = min(width, max(1, math.ceil(height * image.shape[1] / image.shape[0])))
    scaled = cv2.resize(image, (scaled_width, height)).astype(np.float32)
    padded = np.zeros((3, height, width), dtype=np.float32)
    padded[:, :, :scaled_width] = (scaled / 127.5 - 1).transpose(2, 0, 1)
    return padded


class Classifier:
    """Turns lines that stand on their head.

    Args:
        options: `threshold` (a line is turned above this probability), `batch`.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._threshold = float(options.get("threshold", 0.9))
        self._batch = int(options.get("batch", 6))

    def preprocess(self, payload: Payload) -> list[Arrays]:
        """Feeds of `image` (n, 3, 48, 192) float32."""
        payload["crops"] = crops_of(payload)
        lines = [resize_to_height(image, 48, 192) for image in payload["crops"]]
        return [{"image": np.stack(lines[i : i + self._batch])} for i in range(0, len(lines), self._batch)]

    def shapes(self) -> list[Shapes]:
        """Those of all batches, full ones first."""
        return [{"image": (size, 3, 48, 192)} for size in range(self._batch, 0, -1)]

    def postprocess(self, payload: Payload, outputs: list[Arrays]) -> Payload:
        """Adds `crops`, upright, and `turned`, whether each was turned."""
        upside_down = [bool(row[1] > self._threshold) for output in outputs for row in output["direction"]]
        turned = [np.rot90(image, 2) if flip else image for image, flip in zip(payload["crops"], upside_down)]
        return {**payload, "crops": turned, "turned": upside_down}


class Recognizer:
    """Reads lines: crops in, text and score out.

    Crops are sorted by width, padded to one of a few widths so that the engine meets few shapes, and cut into the
    batches that take the least time together.

    Args:
        options: `widths` (ascending, pixels at height 48; a longer line is squeezed into the last), `batch` (lines in
            one inference), `batch_width` (pixels of them together), `overhead` (what an inference costs whatever its
            size, as pixels of width), `min_score` (lines below it are dropped from the answer).
    """

    height = 48

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._widths: list[int] = [int(width) for width in options.get("widths", (320, 640, 1280, 2560))]
        self._batch = int(options.get("batch", 6))
        self._batch_width = int(options.get("batch_width", 1280))
        self._overhead = int(options.get("overhead", 150))
        self._min_score = float(options.get("min_score", 0.5))
        package = import_module("rapidocr_paddle.ch_ppocr_rec")
        utils = import_module("rapidocr_paddle.ch_ppocr_rec.utils")
        self._decoder = utils.CTCLabelDecode(character_path=_dictionary(package))

    def preprocess(self, payload: Payload) -> list[Arrays]:
        """Feeds of `image` (n, 3, 48, w) float32, -1..1, zeros on the right."""
        crops = payload["crops"] = crops_of(payload)
        payload["batches"] = self._batches(crops)
        return [
            {"image": np.stack([resize_to_height(crops[index], self.height, width) for index in batch])}
            for width, batch in payload["batches"]
        ]

    def shapes(self) -> list[Shapes]:
        """Those of all batches, the fullest first: where lines are many, most of their batches are full.

        Last come the few lines that are too wide for any batch.
        """
        full = {width: self._most(width) for width in self._widths}
        batches = [(width, size) for width in self._widths for size in range(1, full[width] + 1)]
        batches.sort(key=lambda batch: (batch[0] > self._batch_width, -batch[1] / full[batch[0]]))
        return [{"image": (size, 3, self.height, width)} for width, size in batches]

    def sizes(self, payload: Payload) -> dict[str, list[int]]:
        """The widths of the lines, for the option `widths`."""
        return {"widths": [self._width(image) for image in crops_of(payload)]}

    def _most(self, width: int) -> int:
        """Lines of a batch of that width."""
        return most(width, self._batch, self._batch_width)

    def _batches(self, crops: Sequence[np.ndarray[Any, Any]]) -> list[tuple[int, list[int]]]:
        """(padded width, indices of crops), narrow ones first."""
        widths = [self._padded_width(image) for image in crops]
        order = sorted(range(len(crops)), key=widths.__getitem__)
        ends = cuts([widths[index] for index in order], self._batch, self._batch_width, self._overhead)
        return [(widths[order[end - 1]], order[start:end]) for start, end in zip([0, *ends], ends)]

    def _padded_width(self, image: np.ndarray[Any, Any]) -> int:
        needed = self._width(image)
        return next((width for width in self._widths if width >= needed), self._widths[-1])

    def _width(self, image: np.ndarray[Any, Any]) -> int:
        """In pixels, when it is as high as the model takes it."""
        return math.ceil(self.height * image.shape[1] / image.shape[0])

    def postprocess(self, payload: Payload, outputs: list[Arrays]) -> Payload:
        """Adds `texts`: a (text, score) pair for each crop, in the order of the boxes."""
        texts: list[tuple[str, float]] = [("", 0.0)] * len(payload["crops"])
        for (_, batch), output in zip(payload["batches"], outputs):
            for index, (text, score) in zip(batch, self._read(output["characters"])):
                texts[index] = (text, float(score))
        return {**payload, "texts": texts, "min_score": self._min_score}

    def _read(self, characters: np.ndarray[Any, Any]) -> list[tuple[str, float]]:
        """Text and score of each line, of probabilities (n, t, classes)."""
        # Called as a whole, the decoder looks through all classes for their maximum twice.
        best = characters.argmax(axis=2)
        scores = np.take_along_axis(characters, best[..., None], axis=2)[..., 0]
        found: list[tuple[str, float]] = self._decoder.decode(best, scores, is_remove_duplicate=True)
        return found


def most(width: int, batch: int, batch_width: int) -> int:
    """How many lines of that width are one batch; see `cuts`."""
    return max(1, min(batch, batch_width // width))


def cuts(widths: Sequence[int], batch: int, batch_width: int, overhead: int) -> list[int]:
    """Where to cut lines of ascending `widths` into batches, each as wide as its last line: the end of each batch.

    Of all ways to do it the one of least cost, which is the padded width of all lines and `overhead` for each batch
    (dynamic programming over the ends).

    Args:
        batch: most lines of one batch.
        batch_width: most pixels of their widths together, unless it is one line.
    """
    best, starts = [0], [0]
    for end in range(1, len(widths) + 1):
        width = widths[end - 1]
        size = min(most(width, batch, batch_width), end)
        cost, start = min((best[end - n] + n * width + overhead, end - n) for n in range(1, size + 1))
        best.append(cost)
        starts.append(start)
    ends = []
    end = len(widths)
    while end:
        ends.append(end)
        end = starts[end]
    return ends[::-1]


def _dictionary(package: Any) -> Path:
    return Path(package.__file__).parent / "ppocr_keys_v1.txt"


def answer(payload: Payload) -> dict[str, Any]:
    """What the client gets: the lines that were read, and the size of the image that their boxes refer to."""
    height, width = payload["image"].shape[:2]
    lines = [
        {
            "text": text,
            "score": round(score, 4),
            "box": [[round(float(x), 1), round(float(y), 1)] for x, y in box],
        }
        for (text, score), box in zip(payload["texts"], payload["boxes"])
        if text and score >= payload["min_score"]
    ]
    return {"lines": lines, "width": width, "height": height}
