"""The request of a pipeline that takes an image: `request: ops:decode` in a spec whose ops.py imports it from here."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from toolkit.images.read import MAX_PIXELS, read_image
from toolkit.pipeline import Payload, RequestError


def decode(request: Mapping[str, Any], options: Mapping[str, Any] = MappingProxyType({})) -> Payload:
    """The payload of a request: its field `image` holds a JPEG, PNG, BMP, TIFF, WebP or GIF file, as bytes or base64.

    Args:
        options: `max_pixels`.

    Returns:
        `image` (H, W, 3) uint8, BGR.

    Raises:
        RequestError: the field is missing, or not base64.
        RequestTooLarge: the image has more pixels than allowed.
        Unprocessable: it is not an image, or a damaged one.
    """
    image = request.get("image")
    if not isinstance(image, (str, bytes)) or not image:
        raise RequestError("the request has no field `image` with a base64 text")
    data = image if isinstance(image, bytes) else _from_base64(image)
    return {"image": read_image(data, int(options.get("max_pixels", MAX_PIXELS)))}


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"`image` is not base64: {error}") from error
