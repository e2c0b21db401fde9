"""The JSON that Paddle Serving's own HTTP proxy speaks at `POST /{model}/prediction`.

Observed on paddle-serving-server 0.9.0: model and method come from the path, whatever the body says; unknown
members are ignored; an empty body is an empty request; Content-Type does not matter. Every field of the
answer is written, 64-bit integers as strings. A request that failed answers HTTP 200 with `err_no`; one that
never got to the model answers a real status with `{"error", "code", "message", "details"}`, `code` being
gRPC's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from google.protobuf import json_format
from starlette.responses import JSONResponse, Response

from toolkit.client import protocol
from toolkit.gateway import access, body, deadline, intake
from toolkit.gateway.body import check_json
from toolkit.gateway.disconnect import unless_disconnected
from toolkit.gateway.faults import BadRequest, Fault, UnknownModel
from toolkit.gateway.intake import Intake
from toolkit.gateway.lobby import Lobby
from toolkit.oip.errors import shown

PATH = "/{model}/prediction"


def request_body(*fields: str) -> dict[str, Any]:
    """The body in the terms of OpenAPI; each request brings one of `fields`."""
    return {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["key", "value"],
                    "properties": {
                        "key": {"type": "array", "items": {"type": "string"}, "example": [*fields[:1]]},
                        "value": {"type": "array", "items": {"type": "string"}},
                    },
                }
            }
        },
    }


_FAILED: dict[str, Any] = {
    "description": "The request did not get to the model",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["error", "code", "message", "details"],
                "properties": {
                    "error": {"type": "string"},
                    "code": {"type": "integer", "description": "gRPC's status code"},
                    "message": {"type": "string"},
                    "details": {"type": "array"},
                },
            }
        }
    },
}

# A request has a few.
_MOST_VALUES = 1000

# protobuf's messages quote what is wrong, which may be the whole body.
_LONGEST_MESSAGE = 300

# Untyped: types-protobuf describes a newer protobuf, which calls the last argument by another name.
_to_dict: Any = json_format.MessageToDict


def parse(body: bytes, model: str, wanted: Intake) -> Any:
    """The Request of a body, addressed to `model`.

    Raises:
        BadRequest: it is not JSON, or its members are not of the right types.
    """
    check_json(body, wanted.most_commas)
    try:
        data = json.loads(body or b"{}")
        if not isinstance(data, dict):
            raise ValueError("the body is not a JSON object")
        _check_values(data)
        request = json_format.ParseDict(data, protocol.Request(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, RecursionError) as error:
        raise BadRequest(
            str(error)[:_LONGEST_MESSAGE],
            f'send {{"key": ["{wanted.field}"], "value": ["{wanted.value}"]}}',
        ) from error
    request.name = model
    request.method = protocol.METHOD_NAME
    return request


def _check_values(data: Mapping[str, Any]) -> None:
    """Refuse JSON of many values: protobuf takes minutes for millions. A text is one, however long."""
    left: list[Any] = [data]
    count = 0
    while left:
        item = left.pop()
        if isinstance(item, (dict, list)):
            count += len(item)
            if count > _MOST_VALUES:
                raise ValueError(f"the body has more than {_MOST_VALUES:,} values")
            left += item.values() if isinstance(item, dict) else item


def render(response: Any) -> dict[str, Any]:
    """A Response as the proxy writes it."""
    data: dict[str, Any] = _to_dict(
        response, preserving_proto_field_name=True, including_default_value_fields=True
    )
    return data


def no_service(fault: UnknownModel) -> Any:
    """The Response to a request for a pipeline that is not served here."""
    return protocol.Response(err_no=protocol.NO_SERVICE, err_msg=f"{fault.message}, {fault.remedy}")


def render_fault(fault: Fault) -> dict[str, Any]:
    """The answer, with a status other than 200, to a request that never got to the model."""
    message = f"{fault.message}: {fault.remedy}"
    return {"error": message, "code": fault.code.value[0], "message": message, "details": []}


def router(lobby: Lobby) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["Paddle Serving"])

    @routes.post(
        PATH,
        summary="Paddle Serving's own protocol",
        responses=dict.fromkeys((400, 408, 413, 429, 500, 503, 504), _FAILED),
        openapi_extra={"requestBody": request_body(intake.IMAGE.field)},
    )
    async def prediction(model: str, request: Request) -> Response:
        try:
            return JSONResponse(await _answer(lobby, model, request))
        except Fault as error:
            access.current().error = error.message
            return JSONResponse(render_fault(error), error.status, headers=dict(error.headers))

    return routes


async def _answer(lobby: Lobby, model: str, request: Request) -> dict[str, Any]:
    try:
        desk = lobby.of(model)
    except UnknownModel as fault:
        return render(no_service(fault))
    expiry = deadline.from_header(request.headers.get(deadline.HEADER), desk.options.deadline)
    pipeline = desk.catalog.pipeline
    wanted = intake.of(pipeline.accepts)
    with desk.slot():
        data = await body.read(request, desk.options.max_body_bytes, expiry, wanted.smaller)
        message = parse(data, model, wanted)
        del data
        refusal = _refusal(message, pipeline.name, wanted)
        if refusal is not None:
            return render(refusal)
        work = desk.pipeline(message.SerializeToString(), expiry)
        return render(protocol.Response.FromString(await unless_disconnected(request, work)))


def _refusal(message: Any, name: str, wanted: Intake) -> Any:
    """The Response to a request that the replica need not see to refuse; None: it has to."""
    if message.name != name:
        return no_service(UnknownModel(f"{shown(message.name)} is no pipeline", f"ask for {name!r}"))
    try:
        wanted.from_text(protocol.first_value(message, wanted.field))
    except BadRequest as error:
        return protocol.Response(err_no=protocol.BAD_REQUEST, err_msg=f"{error.message}: {error.remedy}")
    return None
