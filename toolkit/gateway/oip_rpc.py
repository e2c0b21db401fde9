"""The gRPC side of the Open Inference Protocol: serialized messages in, serialized messages out."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Callable

from google.protobuf.message import DecodeError

from toolkit import oip
from toolkit.gateway import oip_infer, oip_meta
from toolkit.gateway.deadline import Deadline
from toolkit.gateway.desk import Desk
from toolkit.gateway.faults import BadRequest, TooLarge
from toolkit.gateway.lobby import Lobby
from toolkit.oip import messages, wire

_MODEL_NAME = messages.ModelInferRequest.DESCRIPTOR.fields_by_name["model_name"].number

# A serialized request and the call's context in, a serialized response out; raises a Fault.
Unary = Callable[[bytes, Any], Awaitable[bytes]]


def functions(lobby: Lobby) -> dict[str, Unary]:
    """The methods of the service, by name; whoever serves them tells faults, and everything else, its own way."""

    async def server_live(request: bytes, context: Any) -> bytes:
        return _bytes(messages.ServerLiveResponse(live=True))

    async def server_ready(request: bytes, context: Any) -> bytes:
        return _bytes(messages.ServerReadyResponse(ready=lobby.ready))

    async def model_ready(request: bytes, context: Any) -> bytes:
        asked = _parse(messages.ModelReadyRequest, request)
        desk = lobby.of(asked.name)
        oip_infer.find(desk.catalog, asked.name, asked.version)
        return _bytes(messages.ModelReadyResponse(ready=desk.ready))

    async def server_metadata(request: bytes, context: Any) -> bytes:
        return _bytes(messages.ServerMetadataResponse(**oip_meta.server()))

    async def model_metadata(request: bytes, context: Any) -> bytes:
        asked = _parse(messages.ModelMetadataRequest, request)
        desk = lobby.of(asked.name)
        info = oip_infer.find(desk.catalog, asked.name, asked.version)
        return _bytes(messages.ModelMetadataResponse(**oip_meta.model(info)))

    async def model_infer(request: bytes, context: Any) -> bytes:
        desk = lobby.of(wire.text(request, _MODEL_NAME))
        with desk.slot():
            check_size(request, desk)
            with oip_infer.told("the model"):
                wire.check(request)
            asked = _parse(messages.ModelInferRequest, request)
            return await oip_infer.infer(desk, asked, deadline_of(context, desk))

    return {
        "ServerLive": server_live,
        "ServerReady": server_ready,
        "ModelReady": model_ready,
        "ServerMetadata": server_metadata,
        "ModelMetadata": model_metadata,
        oip.INFER: model_infer,
    }


def check_size(request: bytes, desk: Desk) -> None:
    """
    Raises:
        TooLarge: it is more than that desk takes; the server's own limit is that of the pipeline which takes most.
    """
    if len(request) > desk.options.max_body_bytes:
        raise TooLarge(
            f"the request has {len(request)} bytes, at most {desk.options.max_body_bytes} are taken",
            "send less",
        )


def deadline_of(context: Any, desk: Desk) -> Deadline:
    """When a call must be answered: what the client allows, at most what the service does."""
    asked = context.time_remaining()
    limit = desk.options.deadline
    return Deadline.after(limit if asked is None else min(limit, asked))


def _parse(kind: Any, request: bytes) -> Any:
    try:
        return kind.FromString(request)
    except DecodeError as error:
        name = kind.DESCRIPTOR.name
        raise BadRequest(f"the request is no {name}", f"send one of package {oip.PACKAGE}") from error


def _bytes(message: Any) -> bytes:
    return bytes(message.SerializeToString())
