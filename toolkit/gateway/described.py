"""The API's description, with the requests that the pipelines take which are served now."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from toolkit.gateway import intake, legacy, schemas
from toolkit.gateway.lobby import Lobby

_PREDICT = "/predict/{model}"


def by_kind(app: FastAPI, lobby: Lobby) -> None:
    """Have the description tell of what the pipelines take: images, texts or JSON."""
    whole = app.openapi

    def openapi() -> dict[str, Any]:
        document = whole()
        kinds = dict.fromkeys(desk.catalog.pipeline.accepts for desk in lobby)
        if not kinds:
            return document
        taken = [intake.of(kind) for kind in kinds]
        paths = dict(document["paths"])
        predict = {
            "summary": "; ".join(item.summary for item in taken),
            "requestBody": schemas.request_body(*(item.schema for item in taken)),
        }
        paths[_PREDICT] = _changed(paths[_PREDICT], predict)
        body = legacy.request_body(*(item.field for item in taken))
        paths[legacy.PATH] = _changed(paths[legacy.PATH], {"requestBody": body})
        return {**document, "paths": paths}

    app.openapi = openapi  # type: ignore[method-assign] # as FastAPI documents it


def _changed(path: dict[str, Any], post: dict[str, Any]) -> dict[str, Any]:
    return {**path, "post": {**path["post"], **post}}
