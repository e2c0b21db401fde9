"""From the bytes of an image file to pixels: upright, on white, eight bits a channel, whatever the file was."""

from __future__ import annotations

import io
import warnings
from typing import Any, cast

import cv2
import numpy as np
from PIL import Image

from toolkit.images import containers
from toolkit.images.containers import Still, damaged
from toolkit.pipeline import RequestTooLarge, Unprocessable

MAX_PIXELS = 40_000_000

# OpenCV cuts lines out of no image that is longer: its remapping counts with 16 bits.
MAX_SIDE = 32_766

# Rows that are put on white at a time.
_BAND = 256

Pixels = np.ndarray[Any, Any]

# Whoever sends a broken image is told; the service's log is not the place, and anybody can fill it.
cv2.setLogLevel(0)
warnings.filterwarnings("ignore", module=r"PIL\.")


def read_image(data: bytes, max_pixels: int = MAX_PIXELS) -> Pixels:
    """The first picture in `data` as (H, W, 3) uint8, BGR, turned upright by its EXIF orientation.

    Raises:
        Unprocessable: it is no image, or not a whole one.
        RequestTooLarge: it has more than `max_pixels` pixels; found out from the header, nothing was decoded.
    """
    still = containers.read(data)
    _check_size(still.width, still.height, max_pixels)
    image = _by_pillow(still) if still.format == "GIF" or still.moving else _by_opencv(still)
    return np.ascontiguousarray(_turned(image, still.orientation))


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if not (width and height):
        raise damaged(f"{width} x {height} pixels")
    if width * height > max_pixels:
        raise RequestTooLarge(
            f"the image has {width} x {height} pixels, at most {max_pixels:,} are taken: send a smaller one"
        )
    if max(width, height) > MAX_SIDE:
        raise RequestTooLarge(
            f"the image has {width} x {height} pixels, a side at most {MAX_SIDE:,}: cut it into parts"
        )


def _by_opencv(still: Still) -> Pixels:
    # A TIFF is turned by its decoder, with any flag.
    flag = cv2.IMREAD_UNCHANGED if still.alpha else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(still.data, np.uint8), flag)
    except (cv2.error, MemoryError):
        image = None
    if image is None:
        raise damaged(f"a {still.format} file that cannot be read to its end")
    return _opaque(image, still) if still.alpha else image


def _opaque(image: Pixels, still: Still) -> Pixels:
    """What OpenCV read without changes, as BGR of 8 bits on white."""
    if image.dtype not in (np.uint8, np.uint16):
        raise Unprocessable(f"`image` has samples of the type {image.dtype}: save it with 8 bits a channel")
    if image.ndim == 2:
        image = _with_clear_gray(image, still.clear_gray)
    if image.shape[2] < 4:
        return _eight_bits(image)
    # OpenCV reads a TIFF of 8 bits through libtiff's TIFFReadRGBAStrip, which multiplies by alpha.
    premultiplied = still.premultiplied or (still.format == "TIFF" and image.dtype == np.uint8)
    result = np.empty((*image.shape[:2], 3), np.uint8)
    for row in range(0, len(image), _BAND):
        result[row : row + _BAND] = _on_white(_eight_bits(image[row : row + _BAND]), premultiplied)
    return result


def _with_clear_gray(image: Pixels, clear: float | None) -> Pixels:
    top = np.iinfo(image.dtype).max
    alpha = np.full_like(image, top)
    if clear is not None:
        alpha[image == round(clear * top)] = 0
    return np.dstack([image, image, image, alpha])


def _eight_bits(image: Pixels) -> Pixels:
    return (image >> 8).astype(np.uint8) if image.dtype == np.uint16 else image


def _on_white(image: Pixels, premultiplied: bool = False) -> Pixels:
    """Four channels as three: what is missing from white, as far as the fourth lets it be seen."""
    alpha = cv2.extractChannel(image, 3)
    if premultiplied:
        return cast(
            Pixels, cv2.add(np.ascontiguousarray(image[..., :3]), cv2.merge([~alpha, ~alpha, ~alpha]))
        )
    missing = cv2.multiply(~image[..., :3], cv2.merge([alpha, alpha, alpha]), scale=1 / 255)
    return cast(Pixels, ~missing)


def _by_pillow(still: Still) -> Pixels:
    try:
        with Image.open(io.BytesIO(still.data), formats=[still.format.upper()]) as picture:
            # What the file says in one place must hold in all others.
            if picture.size != (still.width, still.height):
                raise damaged("two sizes")
            picture = picture.convert("RGBA")
    except Unprocessable:
        raise
    except Exception as error:
        raise damaged(f"a {still.format} file that cannot be read to its end") from error
    result = np.empty((still.height, still.width, 3), np.uint8)
    for row in range(0, still.height, _BAND):
        band = picture.crop((0, row, still.width, min(row + _BAND, still.height)))
        result[row : row + _BAND] = _on_white(np.asarray(band))[..., ::-1]
    return result


def _turned(image: Pixels, orientation: int) -> Pixels:
    """`image` upright. Stored, it shows the upright picture mirrored (2, 4, 5, 7) and turned as EXIF numbers it."""
    if orientation >= 5:
        image = cv2.transpose(image)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return image if flip is None else cast(Pixels, cv2.flip(image, flip))
