"""Pre- and postprocessing of PP-OCRv4: what serving and evaluation both run.

A request's payload grows step by step: `image` (H, W, 3, uint8, BGR), then `boxes` (n, 4, 2, pixels), then `crops`
and `texts` (text and score each).
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from toolkit.pipeline import Arrays, Payload, RequestError, RequestTooLarge

# ImageNet's, in the order in which PaddleOCR applies them to BGR images.
_DETECTOR_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
_DETECTOR_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)

# Within the compressed data 0xff is followed by 0 or the number of a restart.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_JPEG_END = b"\xd9"

MAX_PIXELS = 40_000_000


def decode(request: Mapping[str, Any]) -> Payload:
    """The payload of a request: its field `image` holds a base64 text of a JPEG, PNG, BMP, TIFF or WebP file.

    Raises:
        RequestError: the field is missing, not base64, or not an image.
        RequestTooLarge: the image has more than `MAX_PIXELS` pixels.
    """
    text = request.get("image")
    if not isinstance(text, str) or not text:
        raise RequestError("the request has no field `image` with a base64 text")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"`image` is not base64: {error}") from error
    return {"image": read_image(data)}


def read_image(data: bytes) -> np.ndarray[Any, Any]:
    """The image in `data` as (H, W, 3) uint8, BGR, turned upright by its EXIF orientation."""
    with _header(data) as header:
        if header.has_transparency_data or header.format == "GIF":
            return _on_white(header)
    if _is_cut_off(data):
        raise RequestError("`image` is cut off: the JPEG file has no end")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise RequestError("`image` cannot be decoded: the file is damaged")
    return image


def _header(data: bytes) -> Image.Image:
    """The image without its pixels: its size is checked first, since a small file can unfold into a huge image."""
    try:
        header = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise RequestTooLarge(str(error)) from error
    except Exception as error:
        raise RequestError("`image` is not an image file that can be read") from error
    width, height = header.size
    if width * height > MAX_PIXELS:
        raise RequestTooLarge(f"the image has {width} x {height} pixels; at most {MAX_PIXELS:,} are taken")
    return header


def _on_white(header: Image.Image) -> np.ndarray[Any, Any]:
    """A transparent image, or the first picture of a GIF, as on paper; OpenCV would drop the transparency."""
    try:
        picture = ImageOps.exif_transpose(header).convert("RGBA")
    except Exception as error:
        raise RequestError("`image` cannot be decoded: the file is damaged") from error
    paper = Image.new("RGBA", picture.size, "white")
    paper.alpha_composite(picture)
    return np.ascontiguousarray(np.asarray(paper.convert("RGB"))[:, :, ::-1])


def _is_cut_off(data: bytes) -> bool:
    """Whether `data` is a JPEG file without an end: OpenCV makes what is missing gray and does not say so."""
    if not data.startswith(b"\xff\xd8"):
        return False
    position = 2
    while (found := _JPEG_MARKER.search(data, position)) is not None:
        if found.group(1) == _JPEG_END:
            return False
        # A segment says how long it is; a thumbnail in it has an end of its own.
        position = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return True


class Detector:
    """Finds text lines: the whole image in, a box around each line out.

    Args:
        options: `limit` (longest side in pixels), `multiple` (sides are multiples of it), `threshold` (of a pixel),
            `box_threshold` (mean of a box), `unclip` (growth of a box), `min_side` (pixels).
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._limit = int(options.get("limit", 960))
        self._multiple = int(options.get("multiple", 32))
        utils = import_module("rapidocr_paddle.ch_ppocr_det.utils")
        self._boxes = utils.DBPostProcess(
            thresh=options.get("threshold", 0.3),
            box_thresh=options.get("box_threshold", 0.5),
            unclip_ratio=options.get("unclip", 1.6),
            use_dilation=True,
            score_mode="fast",
        )

    def preprocess(self, payload: Payload) -> list[Arrays]:
        """One feed: `image` (1, 3, h, w) float32, normalised."""
        image = payload["image"]
        height, width = self._size(*image.shape[:2])
        resized = cv2.resize(image, (width, height))
        scaled = (resized.astype(np.float32) / 255 - _DETECTOR_MEAN) / _DETECTOR_STD
        return [{"image": np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])}]

    def _size(self, height: int, width: int) -> tuple[int, int]:
        ratio = min(1.0, self._limit / max(height, width))
        step = self._multiple
        return (
            max(step, round(int(height * ratio) / step) * step),
            max(step, round(int(width * ratio) / step) * step),
        )

    def postprocess(self, payload: Payload, outputs: list[Arrays]) -> Payload:
        """Adds `boxes`, (n, 4, 2) float32, in reading order."""
        height, width = payload["image"].shape[:2]
        boxes, _ = self._boxes(outputs[0]["probability"], (height, width))
        kept = [_clip(clockwise(box), height, width) for box in boxes]
        return {**payload, "boxes": reading_order([box for box in kept if _large_enough(box)])}


def clockwise(box: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The four corners from the top left on, as seen from the left pair and the right pair."""
    by_x = box[np.argsort(box[:, 0], kind="stable")]
    left, right = by_x[:2], by_x[2:]
    top_left, bottom_left = left[np.argsort(left[:, 1], kind="stable")]
    top_right, bottom_right = right[np.argsort(right[:, 1], kind="stable")]
    return np.array([top_left, top_right, bottom_right, bottom_left], dtype=np.float32)


def _clip(box: np.ndarray[Any, Any], height: int, width: int) -> np.ndarray[Any, Any]:
    return np.clip(box, 0, [width - 1, height - 1]).astype(np.float32)


def _large_enough(box: np.ndarray[Any, Any]) -> bool:
    width, height = np.linalg.norm(box[0] - box[1]), np.linalg.norm(box[0] - box[3])
    return bool(width > 3 and height > 3)


def reading_order(boxes: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """`boxes` from top to bottom, those of one row from left to right; a row is 10 pixels high, as in PaddleOCR."""
    ordered = sorted(boxes, key=lambda box: (box[0][1], box[0][0]))
    for end in range(1, len(ordered)):
        for index in range(end, 0, -1):
            above, here = ordered[index - 1], ordered[index]
            if abs(here[0][1] - above[0][1]) >= 10 or here[0][0] >= above[0][0]:
                break
            ordered[index - 1], ordered[index] = here, above
    return np.array(ordered, dtype=np.float32).reshape(-1, 4, 2)


def crop(image: np.ndarray[Any, Any], box: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The part of `image` inside the quadrilateral `box`, straightened; tall ones are turned to lie."""
    corners = np.asarray(box, dtype=np.float32)
    width = max(
        1, round(float(max(np.linalg.norm(corners[0] - corners[1]), np.linalg.norm(corners[2] - corners[3]))))
    )
    height = max(
        1, round(float(max(np.linalg.norm(corners[0] - corners[3]), np.linalg.norm(corners[1] - corners[2]))))
    )
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    matrix = cv2.getPerspectiveTransform(corners, target)
    straight = cv2.warpPerspective(
        image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE, flags=cv2.INTER_CUBIC
    )
    return np.rot90(straight) if height >= width * 1.5 else straight


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

    def postprocess(self, payload: Payload, outputs: list[Arrays]) -> Payload:
        """Adds `crops`, upright, and `turned`, whether each was turned."""
        upside_down = [bool(row[1] > self._threshold) for output in outputs for row in output["direction"]]
        turned = [np.rot90(image, 2) if flip else image for image, flip in zip(payload["crops"], upside_down)]
        return {**payload, "crops": turned, "turned": upside_down}


class Recognizer:
    """Reads lines: crops in, text and score out.

    Crops are sorted by width and batched within the same padded width, so that the engine meets few shapes.

    Args:
        options: `widths` (ascending, pixels at height 48; a longer line is squeezed into the last), `batch`,
            `min_score` (lines below it are dropped from the answer).
    """

    height = 48

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._widths: list[int] = [int(width) for width in options.get("widths", (320, 640, 1280, 2560))]
        self._batch = int(options.get("batch", 6))
        self._min_score = float(options.get("min_score", 0.5))
        package = import_module("rapidocr_paddle.ch_ppocr_rec")
        utils = import_module("rapidocr_paddle.ch_ppocr_rec.utils")
        self._decode = utils.CTCLabelDecode(character_path=_dictionary(package))

    def preprocess(self, payload: Payload) -> list[Arrays]:
        """Feeds of `image` (n, 3, 48, w) float32, -1..1, zeros on the right."""
        crops = payload["crops"] = crops_of(payload)
        payload["batches"] = self._batches(crops)
        return [
            {"image": np.stack([resize_to_height(crops[index], self.height, width) for index in batch])}
            for width, batch in payload["batches"]
        ]

    def _batches(self, crops: Sequence[np.ndarray[Any, Any]]) -> list[tuple[int, list[int]]]:
        """(padded width, indices of crops), narrow ones first."""
        by_width: dict[int, list[int]] = {}
        for index, image in enumerate(crops):
            by_width.setdefault(self._padded_width(image), []).append(index)
        return [
            (width, members[start : start + self._batch])
            for width, members in sorted(by_width.items())
            for start in range(0, len(members), self._batch)
        ]

    def _padded_width(self, image: np.ndarray[Any, Any]) -> int:
        needed = math.ceil(self.height * image.shape[1] / image.shape[0])
        return next((width for width in self._widths if width >= needed), self._widths[-1])

    def postprocess(self, payload: Payload, outputs: list[Arrays]) -> Payload:
        """Adds `texts`: a (text, score) pair for each crop, in the order of the boxes."""
        texts: list[tuple[str, float]] = [("", 0.0)] * len(payload["crops"])
        for (_, batch), output in zip(payload["batches"], outputs):
            for index, (text, score) in zip(batch, self._decode(output["characters"])):
                texts[index] = (text, float(score))
        return {**payload, "texts": texts, "min_score": self._min_score}


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
