"""What a Request of Paddle Serving's protocol carries, as far as we take it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Union

from toolkit.client.protocol import FILE_TYPE
from toolkit.content.kinds import Kind
from toolkit.pipeline import RequestError

# Paddle Serving's element type of a text.
_STRING = 12

_INSTEAD: Mapping[Kind, str] = {
    "image": "send the image as a base64 text",
    "text": "send `text` as a text",
    "json": "send `inputs` as JSON text",
}


def of(request: Any, kind: Kind) -> dict[str, Union[str, bytes]]:
    """Keys with their values, and tensors that are texts or files.

    Args:
        kind: of what the pipeline takes, for messages.

    Raises:
        RequestError: another kind of tensor, or keys without values.
    """
    if len(request.key) != len(request.value):
        raise RequestError(f"the request has {len(request.key)} keys and {len(request.value)} values")
    fields: dict[str, Union[str, bytes]] = dict(zip(request.key, request.value))
    for tensor in request.tensors:
        if tensor.elem_type == FILE_TYPE:
            fields[tensor.name] = tensor.byte_data
        elif tensor.elem_type == _STRING:
            fields[tensor.name] = "".join(tensor.str_data)
        else:
            raise RequestError(f"the tensor {tensor.name!r} is no text; {_INSTEAD[kind]}")
    return fields
