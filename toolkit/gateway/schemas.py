"""The JSON of the HTTP API as pydantic models, for checking what comes in and for openapi.json."""

from __future__ import annotations

from typing import Any, Union

import pydantic

from toolkit.gateway.body import check_json
from toolkit.gateway.faults import BadRequest

# Mistakes that are told of a body.
SHOWN = 5


class ContentBody(pydantic.BaseModel):
    """What a request brings, in one member."""

    model_config = pydantic.ConfigDict(extra="forbid")


class PredictBody(ContentBody):
    """One image, as base64 of an image file (JPEG, PNG, ...)."""

    image: str


class TextBody(ContentBody):
    """One text."""

    text: str


class InputsBody(ContentBody):
    """One JSON object or array, as the pipeline takes it."""

    inputs: Union[dict[str, Any], list[Any]]


def request_body(*models: type[ContentBody]) -> dict[str, Any]:
    """The body of `POST /predict/{model}`, which is one of `models`, in the terms of OpenAPI."""
    known = [model.model_json_schema() for model in models]
    schema = known[0] if len(known) == 1 else {"oneOf": known}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


class ErrorDetail(pydantic.BaseModel):
    """The HTTP status once more, what happened, and what to do about it."""

    code: int
    message: str
    remedy: str


class ErrorBody(pydantic.BaseModel):
    """Every answer with a status above 399."""

    error: ErrorDetail


REQUEST_BODY: dict[str, Any] = {"requestBody": request_body(PredictBody)}

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": dict[str, Any]},
    **{status: {"model": ErrorBody} for status in (400, 404, 408, 413, 415, 429, 500, 503, 504)},
}


def parse_predict(body: bytes) -> PredictBody:
    """The body of `POST /predict/{model}` of a pipeline that takes images.

    Raises:
        BadRequest: not JSON, or not of that shape; the message names the first places.
    """
    check_json(body)
    try:
        return PredictBody.model_validate_json(body)
    except pydantic.ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        message = "; ".join(
            f"{'.'.join(map(str, item['loc']))[:80] or 'body'}: {item['msg']}" for item in problems[:SHOWN]
        )
        raise BadRequest(message, 'send {"image": "<base64 of an image file>"}') from error
