"""The HTTP side of the front door."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

import toolkit
from toolkit.client import protocol
from toolkit.gateway import body, deadline, legacy, schemas
from toolkit.gateway.access import AccessLog
from toolkit.gateway.admission import Admission
from toolkit.gateway.disconnect import unless_disconnected
from toolkit.gateway.faults import BadRequest, Fault, ReplicaFault, TooLarge, UnknownModel, WrongContentType
from toolkit.gateway.options import GatewayOptions
from toolkit.gateway.replica import Replica

_ENDPOINTS = {
    "predict": "POST /predict/{model}",
    "paddle_serving": "POST /{model}/prediction",
    "live": "GET /healthz",
    "ready": "GET /readyz",
    "openapi": "GET /openapi.json",
}

_BY_ERR_NO: dict[int, tuple[type[Fault], str]] = {
    protocol.BAD_REQUEST: (BadRequest, "send the bytes of an image file (JPEG, PNG, ...), base64-encoded"),
    protocol.TOO_LARGE: (TooLarge, "send an image with fewer pixels"),
    protocol.NO_SERVICE: (UnknownModel, "GET / lists the models"),
}

_REMEDIES = {404: "GET / lists the endpoints", 405: "GET / lists the endpoints and their methods"}


def create_app(options: GatewayOptions, admission: Admission, replica: Replica) -> FastAPI:
    """The application; it holds no state of its own."""
    # The pages of docs_url and redoc_url load their scripts from a CDN.
    app = FastAPI(
        title="Paddle Serving deployment toolkit",
        version=toolkit.__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(AccessLog)
    _handle_errors(app)
    _add_status_routes(app, options, admission)
    _add_predict_routes(app, options, admission, replica)
    return app


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(Fault)
    async def fault(request: Request, error: Fault) -> Response:
        return _error(error.status, error.message, error.remedy, error.headers)

    @app.exception_handler(HTTPException)
    async def routing(request: Request, error: HTTPException) -> Response:
        remedy = _REMEDIES.get(error.status_code, "")
        return _error(error.status_code, str(error.detail), remedy, dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        return _error(500, "the front door failed", "see the log of the service", {})


def _error(status: int, message: str, remedy: str, headers: dict[str, str]) -> Response:
    content = {"error": {"code": status, "message": message, "remedy": remedy}}
    return JSONResponse(content, status, headers=headers)


def _add_status_routes(app: FastAPI, options: GatewayOptions, admission: Admission) -> None:
    @app.get("/")
    async def index() -> dict[str, Any]:
        return {"version": toolkit.__version__, "models": [options.model], "endpoints": _ENDPOINTS}

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    async def readyz() -> Response:
        ready = admission.ready
        return JSONResponse({"status": "ready" if ready else "not ready"}, 200 if ready else 503)


def _add_predict_routes(
    app: FastAPI, options: GatewayOptions, admission: Admission, replica: Replica
) -> None:
    @app.post("/predict/{model}", responses=schemas.RESPONSES, openapi_extra=schemas.REQUEST_BODY)
    async def predict(model: str, request: Request) -> Response:
        expiry = deadline.from_header(request.headers.get(deadline.HEADER), options.deadline)
        _check_model(model, options)
        _check_content_type(request)
        with admission.slot():
            data = await body.read(request, options.max_body_bytes, expiry)
            image = body.check_image(schemas.parse_predict(data).image)
            del data
            call = replica.inference(protocol.pack_image(model, image), expiry.remaining)
            answer = protocol.Response.FromString(await unless_disconnected(request, call))
        return Response(_result(answer), media_type="application/json")

    @app.post("/{model}/prediction")
    async def prediction(model: str, request: Request) -> Response:
        try:
            expiry = deadline.from_header(request.headers.get(deadline.HEADER), options.deadline)
            with admission.slot():
                data = await body.read(request, options.max_body_bytes, expiry)
                message = legacy.parse(data, model)
                del data
                refusal = _legacy_refusal(message, options)
                if refusal is not None:
                    return JSONResponse(refusal)
                call = replica.inference(message.SerializeToString(), expiry.remaining)
                answer = protocol.Response.FromString(await unless_disconnected(request, call))
            return JSONResponse(legacy.render(answer))
        except Fault as error:
            return JSONResponse(legacy.render_fault(error), error.status, headers=error.headers)


def _check_model(model: str, options: GatewayOptions) -> None:
    if model != options.model:
        raise UnknownModel(f"no model {model!r} here", f"ask for {options.model!r}")


def _check_content_type(request: Request) -> None:
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise WrongContentType(
            f"Content-Type is {content_type!r}", "send JSON, and the header Content-Type: application/json"
        )


def _legacy_refusal(message: Any, options: GatewayOptions) -> dict[str, Any] | None:
    if message.name != options.model:
        return legacy.failed(
            protocol.NO_SERVICE, f"no model {message.name!r} here, ask for {options.model!r}"
        )
    try:
        body.check_image(protocol.first_value(message, protocol.IMAGE_KEY))
    except BadRequest as error:
        return legacy.failed(protocol.BAD_REQUEST, f"{error.message}: {error.remedy}")
    return None


def _result(answer: Any) -> str:
    if answer.err_no != protocol.OK:
        kind, remedy = _BY_ERR_NO.get(answer.err_no, (ReplicaFault, "see the log of the service"))
        raise kind(answer.err_msg or f"the model server answered error {answer.err_no}", remedy)
    text = protocol.first_value(answer, protocol.RESULT_KEY)
    if text is None:
        raise ReplicaFault("the model server answered without a result", "see the log of the service")
    return text
