"""An image on its way into a request."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Union

Image = Union[bytes, Path]


def to_base64(image: Image) -> str:
    """The encoded image file (JPEG, PNG, ...), given as its bytes or its path, as standard base64.

    Raises:
        OSError: the file cannot be read.
    """
    data = image.read_bytes() if isinstance(image, Path) else image
    return base64.b64encode(data).decode("ascii")
