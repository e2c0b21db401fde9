"""How requests bring what a pipeline takes, by its kind; and what clients are told where they bring something else.

Whatever way it comes, a replica gets it as the bytes of a file; see `toolkit.content.kinds`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable

import pydantic_core

from toolkit.client import protocol
from toolkit.content import read
from toolkit.content.kinds import FIELDS, Kind
from toolkit.content.read import ContentError
from toolkit.gateway import body, schemas
from toolkit.gateway.faults import BadRequest


@dataclass(frozen=True)
class Intake:
    """One kind of content.

    Attributes:
        field: that it comes in.
        types: of HTTP bodies that are the content itself; patterns.
        from_json: the content of the JSON body of `POST /predict/{model}`.
        from_text: the content of a text, as Paddle Serving's protocol and JSON of the Open Inference Protocol carry
            it; None: it is missing.
        from_file: the content of bytes: a file of a form, a body, a binary tensor.
        most_commas: in JSON that has it.
        summary: what is done with it, for the API's description.
        schema: of that JSON body.
        value: what stands for it in Paddle Serving's request, for remedies.
        accepted: what `POST /predict/{model}` takes, for remedies.
        smaller: what to do if it is too large.
        remedies: for what a replica refuses, by error number.

    All three functions raise BadRequest: it is not of its kind, as far as that can be seen here.
    """

    field: str
    types: tuple[str, ...]
    from_json: Callable[[bytes], bytes]
    from_text: Callable[[str | None], bytes]
    from_file: Callable[[bytes], bytes]
    most_commas: int
    summary: str
    schema: type[schemas.ContentBody]
    value: str
    accepted: str
    smaller: str
    remedies: Mapping[int, str]


def _image_file(data: bytes) -> bytes:
    if not data:
        raise BadRequest("the image is missing", "send the bytes of an image file")
    return data


IMAGE = Intake(
    field=FIELDS["image"],
    types=("image/*", "application/octet-stream"),
    from_json=lambda data: body.decode(schemas.parse_predict(data).image),
    from_text=body.decode,
    from_file=_image_file,
    most_commas=body.MOST_COMMAS,
    summary="One image in, the pipeline's answer out",
    schema=schemas.PredictBody,
    value="<base64>",
    accepted='send {"image": "<base64>"} as application/json, a form with the file `image` as multipart/form-data, '
    "or the image file itself as image/jpeg, image/png, ... or application/octet-stream",
    smaller="send a smaller image, or compress it more",
    remedies={
        protocol.BAD_REQUEST: "send the bytes of an image file (JPEG, PNG, ...), base64-encoded",
        protocol.UNPROCESSABLE: "send another image; one that opens in a viewer",
        protocol.TOO_LARGE: "send an image with fewer pixels",
    },
)

_TEXT_BODY = '{"text": "..."}'


@contextmanager
def _told(remedy: str) -> Iterator[None]:
    """Have what is wrong with content told as a fault of the request."""
    try:
        yield
    except ContentError as error:
        raise BadRequest(str(error), remedy) from error


def _text(data: str | bytes | None) -> bytes:
    if data is None:
        raise BadRequest("the text is missing", "send a text in UTF-8 as `text`")
    with _told("send a text in UTF-8"):
        return read.text(data).encode()


def _text_of_json(data: bytes) -> bytes:
    found = _member(data, FIELDS["text"], _TEXT_BODY)
    if not isinstance(found, str):
        raise BadRequest("text: Input should be a valid string", f"send {_TEXT_BODY}")
    return _text(found)


TEXT = Intake(
    field=FIELDS["text"],
    types=("text/plain",),
    from_json=_text_of_json,
    from_text=_text,
    from_file=_text,
    most_commas=read.MAX_VALUES,
    summary="One text in, the pipeline's answer out",
    schema=schemas.TextBody,
    value="...",
    accepted=f"send {_TEXT_BODY} as application/json, a form with the field `text` as multipart/form-data, "
    "or the text itself, in UTF-8, as text/plain",
    smaller="send a shorter text",
    remedies={
        protocol.BAD_REQUEST: f"send {_TEXT_BODY}, in UTF-8",
        protocol.UNPROCESSABLE: "send another text",
        protocol.TOO_LARGE: "send a shorter text, or cut it into parts",
    },
)

_JSON_BODY = '{"inputs": {...}}'


def _json(data: str | bytes | None) -> bytes:
    if data is None:
        raise BadRequest("the inputs are missing", "send an object or an array, as JSON text, as `inputs`")
    with _told(f"send an object or an array, as in {_JSON_BODY}"):
        read.value(data)
    return data.encode() if isinstance(data, str) else data


def _json_of_json(data: bytes) -> bytes:
    found = _member(data, FIELDS["json"], _JSON_BODY)
    if not isinstance(found, (dict, list)):
        raise BadRequest("inputs: Input should be an object or an array", f"send {_JSON_BODY}")
    return pydantic_core.to_json(found)


JSON = Intake(
    field=FIELDS["json"],
    types=(),
    from_json=_json_of_json,
    from_text=_json,
    from_file=_json,
    most_commas=read.MAX_VALUES,
    summary="One JSON object or array in, the pipeline's answer out",
    schema=schemas.InputsBody,
    value="{...}",
    accepted=f"send {_JSON_BODY} as application/json, or a form with the field `inputs` as multipart/form-data",
    smaller="send fewer values",
    remedies={
        protocol.BAD_REQUEST: f"send {_JSON_BODY}, with the names, types and shapes that the pipeline takes",
        protocol.UNPROCESSABLE: "send other values",
        protocol.TOO_LARGE: "send fewer values",
    },
)

_INTAKES: Mapping[Kind, Intake] = {"image": IMAGE, "text": TEXT, "json": JSON}


def of(kind: Kind) -> Intake:
    """That of a kind."""
    return _INTAKES[kind]


def _member(data: bytes, field: str, example: str) -> Any:
    """The only member of a JSON object."""
    with _told(f"send {example}"):
        found = read.parse(data, "the body")
    if not isinstance(found, dict):
        raise BadRequest("body: Input should be an object", f"send {example}")
    further = [name for name in found if name != field]
    if further:
        names = ", ".join(name[:80] for name in further[: schemas.SHOWN])
        raise BadRequest(f"{names}: Extra inputs are not permitted", f"send {example}, and nothing beside it")
    if field not in found:
        raise BadRequest(f"{field}: Field required", f"send {example}")
    return found[field]
