"""The JSON of the HTTP API as pydantic models, for checking what comes in and for openapi.json."""

from __future__ import annotations

from typing import Any

import pydantic

from toolkit.gateway.body import check_json
from toolkit.gateway.faults import BadRequest

# Mistakes that are told of a body.
_SHOWN = 5


class PredictBody(pydantic.BaseModel):
    """One image, as base64 of an image file (JPEG, PNG, ...)."""

    model_config = pydantic.ConfigDict(extra="forbid")

    image: str


class ErrorDetail(pydantic.BaseModel):
    """The HTTP status once more, what happened, and what to do about it."""

    code: int
    message: str
    remedy: str


class ErrorBody(pydantic.BaseModel):
    """Every answer with a status above 399."""

    error: ErrorDetail


REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": PredictBody.model_json_schema()}},
    }
}

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": dict[str, Any]},
    **{status: {"model": ErrorBody} for status in (400, 404, 408, 413, 415, 429, 500, 503, 504)},
}


def parse_predict(body: bytes) -> PredictBody:
    """The body of `POST /predict/{model}`.

    Raises:
        BadRequest: not JSON, or not of that shape; the message names the first places.
    """
    check_json(body)
    try:
        return PredictBody.model_validate_json(body)
    except pydantic.ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        message = "; ".join(
            f"{'.'.join(map(str, item['loc']))[:80] or 'body'}: {item['msg']}" for item in problems[:_SHOWN]
        )
        raise BadRequest(message, 'send {"image": "<base64 of an image file>"}') from error
