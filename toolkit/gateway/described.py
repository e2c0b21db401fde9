"""The API's description, with the requests that the pipeline takes which serves now."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from toolkit.gateway import intake, legacy, schemas
from toolkit.gateway.desk import Desk
from toolkit.gateway.faults import NotReady

_PREDICT = "/predict/{model}"


def by_kind(app: FastAPI, desk: Desk) -> None:
    """Have the description tell of texts or JSON where the pipeline takes those in the place of images."""
    whole = app.openapi

    def openapi() -> dict[str, Any]:
        document = whole()
        try:
            wanted = intake.of(desk.catalog.pipeline.accepts)
        except NotReady:
            return document
        paths = dict(document["paths"])
        predict = {"summary": wanted.summary, "requestBody": schemas.request_body(wanted.schema)}
        paths[_PREDICT] = _changed(paths[_PREDICT], predict)
        paths[legacy.PATH] = _changed(paths[legacy.PATH], {"requestBody": legacy.request_body(wanted.field)})
        return {**document, "paths": paths}

    app.openapi = openapi  # type: ignore[method-assign] # as FastAPI documents it


def _changed(path: dict[str, Any], post: dict[str, Any]) -> dict[str, Any]:
    return {**path, "post": {**path["post"], **post}}
