"""What a request is about, on its way into the request: an image, a text, or a JSON value."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from toolkit.content.kinds import Kind

if TYPE_CHECKING:
    from toolkit.client.http import HttpClient
    from toolkit.client.results import Prediction
    from toolkit.client.rpc import GrpcClient

Image = Union[bytes, Path]

# A JSON object or array, of what `json` writes.
Inputs = Union[Mapping[str, Any], Sequence[Any]]


def to_base64(image: Image) -> str:
    """The encoded image file (JPEG, PNG, ...), given as its bytes or its path, as standard base64.

    Raises:
        OSError: the file cannot be read.
    """
    data = image.read_bytes() if isinstance(image, Path) else image
    return base64.b64encode(data).decode("ascii")


def to_json(inputs: Inputs) -> str:
    """JSON text.

    Raises:
        ValueError, TypeError: there is something in it that JSON does not have, as NaN.
    """
    return json.dumps(inputs, ensure_ascii=False, allow_nan=False)


def as_text(kind: Kind, data: bytes) -> str:
    """The content of a file as Paddle Serving's own protocol carries it: base64 of an image, else the text itself."""
    return to_base64(data) if kind == "image" else data.decode("utf-8")


def in_json(kind: Kind, data: bytes) -> Any:
    """The content of a file as JSON of `POST /predict/{model}` carries it."""
    return json.loads(data) if kind == "json" else as_text(kind, data)


def predict_file(
    client: Union[HttpClient, GrpcClient], model: str, kind: Kind, data: bytes, timeout: float | None = None
) -> Prediction:
    """Ask for the content of a file: of an image, of a text in UTF-8, or JSON; raises as the client does."""
    if kind == "image":
        return client.predict(model, data, timeout)
    text = data.decode("utf-8")
    if kind == "text":
        return client.predict_text(model, text, timeout)
    return client.predict_json(model, json.loads(text), timeout)
