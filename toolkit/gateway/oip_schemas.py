"""The JSON of the Open Inference Protocol as pydantic models, for openapi.json; `toolkit.oip.rest` is what reads it."""

from __future__ import annotations

from typing import Any, Union

import pydantic

Parameters = dict[str, Union[bool, int, float, str]]


class Live(pydantic.BaseModel):
    """Whether the server lives."""

    live: bool


class Ready(pydantic.BaseModel):
    """Whether it can infer."""

    ready: bool


class ModelReady(pydantic.BaseModel):
    """Whether a model can."""

    name: str
    ready: bool


class ServerMetadata(pydantic.BaseModel):
    """What the server is."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(pydantic.BaseModel):
    """A tensor; -1 in its shape is a dimension that varies."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(pydantic.BaseModel):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class InputTensor(pydantic.BaseModel):
    """Its data, flat or nested; or `binary_data_size` among its parameters, and as many bytes behind the JSON.

    JSON carries no bytes: the image of a pipeline is base64 in `data`, and the file itself as binary data. Of one that
    takes texts or JSON, the text is in `data`.
    """

    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters = {}
    data: list[Any] = []


class RequestedOutput(pydantic.BaseModel):
    """An output to be answered; with `binary_data` true among its parameters, as bytes behind the JSON."""

    name: str
    parameters: Parameters = {}


class InferRequest(pydantic.BaseModel):
    """With `binary_data_output` true among its parameters, outputs come as bytes unless they say otherwise."""

    id: str = ""
    parameters: Parameters = {}
    inputs: list[InputTensor]
    outputs: list[RequestedOutput] = []


class OutputTensor(pydantic.BaseModel):
    """Its data, row after row; or the size of it behind the JSON, as `binary_data_size` among its parameters."""

    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters = {}
    data: list[Any] = []


class InferResponse(pydantic.BaseModel):
    """The answer."""

    model_name: str
    model_version: str
    id: str = ""
    outputs: list[OutputTensor]


class OipErrorBody(pydantic.BaseModel):
    """Every answer with a status above 399, but for health: what happened, and what to do about it."""

    error: str


_BINARY = {"schema": {"type": "string", "format": "binary"}}


def responses(model: type[pydantic.BaseModel], *errors: int) -> dict[int | str, dict[str, Any]]:
    """What a route answers, by status."""
    return {200: {"model": model}, **{status: {"model": OipErrorBody} for status in errors}}


INFER_RESPONSES = responses(InferResponse, 400, 404, 408, 413, 415, 422, 429, 500, 503, 504)
INFER_RESPONSES[200]["content"] = {"application/octet-stream": _BINARY}


def _whole(model: type[pydantic.BaseModel]) -> Any:
    """The schema of a model with those of its parts in their places: a reference from within a route leads nowhere."""
    schema = model.model_json_schema()
    parts = {f"#/$defs/{name}": part for name, part in schema.pop("$defs", {}).items()}

    def resolved(value: Any) -> Any:
        if isinstance(value, dict):
            return (
                resolved(parts[value["$ref"]])
                if "$ref" in value
                else {k: resolved(v) for k, v in value.items()}
            )
        return [resolved(item) for item in value] if isinstance(value, list) else value

    return resolved(schema)


INFER_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _whole(InferRequest)},
            "application/octet-stream": _BINARY,
        },
    },
    "parameters": [
        {
            "name": "Inference-Header-Content-Length",
            "in": "header",
            "required": False,
            "description": "bytes of JSON at the beginning of the body, where tensors follow as binary data",
            "schema": {"type": "integer", "minimum": 0},
        }
    ],
}
