"""The pages for people: at `/` the demo, where programs get JSON, and the documentation of the API at `/docs`.

They load nothing from elsewhere, and their Content-Security-Policy forbids it. They name their addresses relative to
their own, so that they also work behind a proxy that adds a prefix.
"""

from __future__ import annotations

from typing import Any

import pydantic
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

import toolkit
from toolkit import templates
from toolkit.content.kinds import Kind
from toolkit.gateway import docs, policy
from toolkit.gateway.catalog import ModelInfo
from toolkit.gateway.desk import Desk
from toolkit.gateway.faults import NotReady
from toolkit.gateway.lobby import Lobby

ENDPOINTS = {
    "predict": "POST /predict/{model}",
    "paddle_serving": "POST /{model}/prediction",
    "open_inference_protocol": "GET /v2",
    "live": "GET /healthz",
    "ready": "GET /readyz",
    "metrics": "GET /metrics",
    "openapi": "GET /openapi.json",
    "docs": "GET /docs",
}

_SCRIPTS = ("words.js", "make.js", "answer.js", "page.js")


class ModelBody(pydantic.BaseModel):
    """One name that requests may use, and what answers to it."""

    name: str
    kind: str
    precision: str
    digest: str
    verdict: str


class LimitsBody(pydantic.BaseModel):
    """What a request must keep to."""

    max_body_bytes: int


class PipelineBody(pydantic.BaseModel):
    """One pipeline that is served here."""

    name: str
    accepts: Kind
    limits: LimitsBody


class IndexBody(pydantic.BaseModel):
    """What is served here, and where.

    Attributes:
        accepts, limits: of the first pipeline.
        models, details: of all pipelines.
    """

    version: str
    pipelines: list[PipelineBody]
    accepts: Kind
    models: list[str]
    details: list[ModelBody]
    limits: LimitsBody
    endpoints: dict[str, str]


def router(lobby: Lobby) -> APIRouter:
    """The routes `/`, `/docs` and the files that the latter loads.

    Raises:
        TemplateError: the template of the demo page is broken.
    """
    routes = APIRouter()
    _add_index(routes, lobby)
    docs.add_to(routes)
    return routes


def _add_index(routes: APIRouter, lobby: Lobby) -> None:
    page, allowed = _demo()
    also_html: dict[int | str, dict[str, Any]] = {
        200: {
            "description": "JSON, or a page to try the service out for who accepts text/html",
            "content": {"text/html": {"schema": {"type": "string"}}},
        }
    }

    @routes.get(
        "/",
        tags=["status"],
        summary="What is served here, and where",
        response_model=IndexBody,
        responses=also_html,
    )
    async def index(request: Request) -> Response:
        if _wants_html(request.headers.get("accept", "")):
            return policy.html(page, allowed)
        # No browser may show this for the page, which has the same address.
        headers = {"Vary": "Accept", "Cache-Control": "no-store"}
        return JSONResponse(describe(lobby).model_dump(), headers=headers)


def describe(lobby: Lobby) -> IndexBody:
    """What `GET /` answers to programs.

    Raises:
        NotReady: nothing is served yet.
    """
    pipelines = [_pipeline(desk) for desk in lobby]
    if not pipelines:
        raise NotReady.starting()
    models = [model for desk in lobby for model in desk.catalog.models]
    return IndexBody(
        version=toolkit.__version__,
        pipelines=pipelines,
        accepts=pipelines[0].accepts,
        models=[model.name for model in models],
        details=[_model(model) for model in models],
        limits=pipelines[0].limits,
        endpoints=ENDPOINTS,
    )


def _pipeline(desk: Desk) -> PipelineBody:
    known = desk.catalog.pipeline
    limits = LimitsBody(max_body_bytes=desk.options.max_body_bytes)
    return PipelineBody(name=known.name, accepts=known.accepts, limits=limits)


def _model(model: ModelInfo) -> ModelBody:
    return ModelBody(
        name=model.name,
        kind=model.kind,
        precision=model.precision,
        digest=model.digest,
        verdict=model.verdict,
    )


def _demo() -> tuple[str, str]:
    """The demo page, and the policy that lets its own script and style run, known by their hashes."""
    # Not rendered: braces mean something else there.
    folder = templates.TEMPLATES / "web"
    script = "".join((folder / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    style = (folder / "style.css").read_text(encoding="utf-8")
    page = templates.render("web/index.html", script=script, style=style)
    return page, policy.text(
        f"script-src {policy.hash_of(script)}",
        f"style-src {policy.hash_of(style)}",
        "img-src 'self' blob: data:",
        # What the models read is never taken for HTML, not even by mistake: the browser refuses innerHTML.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )


def _wants_html(accept: str) -> bool:
    """Whether it is a browser that asks for a page: programs name JSON, or nothing in particular."""
    types = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return "text/html" in types and "application/json" not in types
