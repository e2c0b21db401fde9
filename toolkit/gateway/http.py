"""The HTTP side of the front door: all routes, and how an error is told."""

from __future__ import annotations

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

import toolkit
from toolkit.gateway import (
    access,
    body,
    deadline,
    described,
    intake,
    legacy,
    oip_rest,
    pages,
    predict,
    schemas,
)
from toolkit.gateway.arrival import Arrival
from toolkit.gateway.desk import Desk
from toolkit.gateway.disconnect import unless_disconnected
from toolkit.gateway.exposition import Exposition
from toolkit.gateway.faults import Fault, UnknownModel
from toolkit.gateway.keys import Keys
from toolkit.gateway.lobby import Lobby
from toolkit.oip.errors import shown

_REMEDIES = {404: "GET / lists the endpoints", 405: "GET / lists the endpoints and their methods"}


def create_app(lobby: Lobby, exposition: Exposition, keys: Keys | None) -> FastAPI:
    """The application; it holds no state of its own."""
    # The pages that FastAPI makes load their scripts from a CDN; ours are in `pages`.
    app = FastAPI(
        title="Paddle Serving deployment toolkit",
        version=toolkit.__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(Arrival, exposition=exposition, keys=keys)
    # Says so in the API's description; `Arrival` is what checks.
    locked = [] if keys is None else [Depends(HTTPBearer(auto_error=False))]
    _handle_errors(app)
    # The first that is looked at is the one that is asked most.
    app.include_router(_predict_routes(lobby), dependencies=locked)
    app.include_router(pages.router(lobby))
    app.include_router(_status_routes(lobby, exposition))
    for router in (oip_rest.router(lobby), legacy.router(lobby)):
        app.include_router(router, dependencies=locked)
    described.by_kind(app, lobby)
    return app


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(Fault)
    async def fault(request: Request, error: Fault) -> Response:
        access.current().error = error.message
        return _error(error.status, error.message, error.remedy, dict(error.headers))

    @app.exception_handler(HTTPException)
    async def routing(request: Request, error: HTTPException) -> Response:
        remedy = _REMEDIES.get(error.status_code, "")
        return _error(error.status_code, str(error.detail), remedy, dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        access.current().error = f"{type(error).__name__}: {error}"
        return _error(500, "the front door failed", "see the log of the service", {})


def _error(status: int, message: str, remedy: str, headers: dict[str, str]) -> Response:
    content = {"error": {"code": status, "message": message, "remedy": remedy}}
    return JSONResponse(content, status, headers=headers)


def _status_routes(lobby: Lobby, exposition: Exposition) -> APIRouter:
    router = APIRouter(tags=["status"])

    @router.get("/healthz", summary="Whether the front door lives")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @router.get(
        "/readyz",
        summary="Whether, of each pipeline or of `model`, a replica answered a golden inference of late",
        responses={404: {"model": schemas.ErrorBody}, 503: {"model": dict[str, str]}},
    )
    async def readyz(model: str = "") -> Response:
        ready = lobby.of(model).ready if model else lobby.ready
        return JSONResponse({"status": "ready" if ready else "not ready"}, 200 if ready else 503)

    @router.get("/metrics", summary="For Prometheus", response_class=Response)
    async def scrape(request: Request) -> Response:
        content, media_type = exposition.render(request.headers.get("accept", ""))
        return Response(content, media_type=media_type)

    return router


def _predict_routes(lobby: Lobby) -> APIRouter:
    router = APIRouter(tags=["predict"])

    @router.post(
        "/predict/{model}",
        summary=intake.IMAGE.summary,
        responses=schemas.RESPONSES,
        openapi_extra=schemas.REQUEST_BODY,
    )
    async def predict_one(model: str, request: Request) -> Response:
        desk = lobby.of(model)
        options = desk.options
        expiry = deadline.from_header(request.headers.get(deadline.HEADER), options.deadline)
        _check_model(model, desk)
        wanted = intake.of(desk.catalog.pipeline.accepts)
        content_type = request.headers.get("content-type", "")
        predict.check_type(content_type, wanted)
        with desk.slot():
            data = await body.read(request, options.max_body_bytes, expiry, wanted.smaller)
            content = predict.content_of(content_type, data, wanted)
            del data
            text = await unless_disconnected(request, desk.predict(content, expiry))
        return Response(text, media_type="application/json")

    return router


def _check_model(model: str, desk: Desk) -> None:
    known = desk.catalog.pipeline.name
    if model != known:
        raise UnknownModel(
            f"{shown(model)} is no pipeline", f"ask for {known!r}, or for its tensors under /v2/models"
        )
