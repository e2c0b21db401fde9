"""The REST side of the Open Inference Protocol: /v2 and all below it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Coroutine
from typing import Any, Callable

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from toolkit.gateway import access, body, deadline, intake, oip_infer, oip_meta, oip_schemas
from toolkit.gateway.disconnect import unless_disconnected
from toolkit.gateway.faults import Fault, NotReady, WrongContentType
from toolkit.gateway.lobby import Lobby
from toolkit.oip import messages, rest
from toolkit.oip.errors import shown

logger = logging.getLogger(__name__)

_MODEL = "/v2/models/{model}"
_VERSION = _MODEL + "/versions/{version}"


class _Route(APIRoute):
    """A route whose errors have the shape of the protocol."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with what it raises turned into a response."""
        handler = super().get_route_handler()

        async def safe(request: Request) -> Response:
            try:
                return await handler(request)
            except Fault as fault:
                access.current().error = fault.message
                remedy = f": {fault.remedy}" if fault.remedy else ""
                return _error(fault.status, fault.message + remedy, dict(fault.headers))
            except Exception as error:
                access.current().error = f"{type(error).__name__}: {error}"
                logger.exception("a request of the Open Inference Protocol failed")
                return _error(500, "the front door failed: see the log of the service")

        return safe


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, status, headers=headers)


def router(lobby: Lobby) -> APIRouter:
    """The routes."""
    routes = APIRouter(route_class=_Route, tags=["Open Inference Protocol"])
    _add_server_routes(routes, lobby)
    _add_model_routes(routes, lobby)
    _add_rest(routes)
    return routes


def _readiness(ready: bool, content: dict[str, Any]) -> Response:
    return JSONResponse(content) if ready else JSONResponse(content, NotReady.status, dict(NotReady.headers))


def _add_server_routes(routes: APIRouter, lobby: Lobby) -> None:
    told = oip_schemas.responses

    @routes.get("/v2", summary="The server", responses=told(oip_schemas.ServerMetadata))
    async def server() -> Response:
        return JSONResponse(oip_meta.server())

    @routes.get("/v2/health/live", summary="Whether the server lives", responses=told(oip_schemas.Live))
    async def live() -> Response:
        return JSONResponse({"live": True})

    @routes.get(
        "/v2/health/ready",
        summary="Whether it can infer",
        responses={**told(oip_schemas.Ready), 503: {"model": oip_schemas.Ready}},
    )
    async def ready() -> Response:
        return _readiness(lobby.ready, {"ready": lobby.ready})


def _add_model_routes(routes: APIRouter, lobby: Lobby) -> None:
    async def metadata(request: Request, model: str, version: str) -> Response:
        return JSONResponse(oip_meta.model(oip_infer.find(lobby.of(model).catalog, model, version)))

    async def ready(request: Request, model: str, version: str) -> Response:
        desk = lobby.of(model)
        info = oip_infer.find(desk.catalog, model, version)
        return _readiness(desk.ready, {"name": info.name, "ready": desk.ready})

    async def infer(request: Request, model: str, version: str) -> Response:
        desk = lobby.of(model)
        expiry = deadline.from_header(request.headers.get(deadline.HEADER), desk.options.deadline)
        info = oip_infer.find(desk.catalog, model, version)
        _check_encoding(request)
        wanted = intake.of(desk.catalog.pipeline.accepts)
        with desk.slot():
            data = await body.read(request, desk.options.max_body_bytes, expiry, wanted.smaller)
            with oip_infer.told(info.name):
                call = rest.parse(data, request.headers.get(rest.LENGTH_HEADER), info.name, version)
            del data
            work = oip_infer.infer(desk, call.request, expiry, call.texts)
            answer = messages.ModelInferResponse.FromString(await unless_disconnected(request, work))
            with oip_infer.told(info.name):
                return _rendered(rest.render(call.request, answer))

    told = oip_schemas.responses
    _add(routes, "GET", "", metadata, "A model's tensors", told(oip_schemas.ModelMetadata, 404))
    readiness = {**told(oip_schemas.ModelReady, 404), 503: {"model": oip_schemas.ModelReady}}
    _add(routes, "GET", "/ready", ready, "Whether a model can infer", readiness)
    _add(
        routes,
        "POST",
        "/infer",
        infer,
        "Tensors in, tensors out",
        oip_schemas.INFER_RESPONSES,
        oip_schemas.INFER_BODY,
    )


def _add(
    routes: APIRouter,
    method: str,
    suffix: str,
    function: Callable[[Request, str, str], Awaitable[Response]],
    summary: str,
    responses: Any,
    extra: Any = None,
) -> None:
    """A route for a model without its version, and one with it."""

    async def any_version(model: str, request: Request) -> Response:
        return await function(request, model, "")

    async def one_version(model: str, version: str, request: Request) -> Response:
        return await function(request, model, version)

    for path, handler in ((_MODEL, any_version), (_VERSION, one_version)):
        routes.add_api_route(
            path + suffix,
            handler,
            methods=[method],
            summary=summary,
            responses=responses,
            openapi_extra=extra,
        )


def _check_encoding(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        # What is small when it comes in may be anything when it is unpacked.
        raise WrongContentType(
            f"the body is compressed: Content-Encoding is {shown(encoding)}", "send it as it is"
        )


def _rendered(content: rest.Content) -> Response:
    if content.json_size is None:
        return Response(content.body, media_type="application/json")
    headers = {rest.LENGTH_HEADER: str(content.json_size)}
    return Response(content.body, media_type="application/octet-stream", headers=headers)


def _add_rest(routes: APIRouter) -> None:
    """What there is not below /v2, in the shape of the protocol: clients look for an `error` that is a text."""
    known = list(routes.routes)

    @routes.api_route(
        "/v2/{path:path}",
        methods=["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"],
        include_in_schema=False,
    )
    async def nothing(request: Request) -> Response:
        methods = {
            method
            for route in known
            if isinstance(route, APIRoute) and route.matches(request.scope)[0] is Match.PARTIAL
            for method in route.methods
        }
        if methods:
            message = f"{request.method} is not for this path, {' and '.join(sorted(methods))} is"
            return _error(405, message, {"Allow": ", ".join(sorted(methods))})
        return _error(404, "there is nothing at this path: GET /v2/models/{model} tells of a model")
