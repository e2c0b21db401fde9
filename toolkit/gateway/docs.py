"""The documentation of the API at `/docs`: Swagger UI from an installed package, and nothing from elsewhere."""

from __future__ import annotations

from typing import Any

import swagger_ui_bundle
from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from toolkit.gateway import policy

_FILES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}

PATHS = ("/docs", "/docs/openapi.json", *(f"/docs/{name}" for name in _FILES))

_START = """
SwaggerUIBundle({url: "docs/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: "none"});
"""
_PAGE = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script>{_START}</script>
</body>
</html>
"""


def add_to(routes: APIRouter) -> None:
    """Add the page, and the files that it loads: these and no others."""
    files = {name: (swagger_ui_bundle.swagger_ui_path / name).read_bytes() for name in _FILES}
    allowed = policy.text(
        f"script-src 'self' {policy.hash_of(_START)}", "style-src 'self'", "img-src 'self' data:"
    )

    @routes.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return policy.html(_PAGE, allowed)

    @routes.get("/docs/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> Response:
        return JSONResponse(for_swagger_4(request.app.openapi()), headers={"Cache-Control": "no-cache"})

    @routes.get("/docs/{name}", include_in_schema=False)
    async def file(name: str) -> Response:
        if name not in files:
            raise HTTPException(404)
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "max-age=3600"}
        return Response(files[name], headers=headers, media_type=_FILES[name])


# swagger-ui-bundle 1.1.0 has Swagger UI 4.15.5, which shows OpenAPI up to 3.0 only (swagger-api/swagger-ui#5891).
# FastAPI writes 3.1; other tools get it as it is, at /openapi.json.
def for_swagger_4(document: dict[str, Any]) -> dict[str, Any]:
    """A copy in the terms of OpenAPI 3.0, as far as the schemas that pydantic writes need it."""
    return {**_older(document), "openapi": "3.0.3"}


def _older(node: Any) -> Any:
    if isinstance(node, list):
        return [_older(item) for item in node]
    if not isinstance(node, dict):
        return node
    older = {key: _older(value) for key, value in node.items()}
    tuple_of = older.pop("prefixItems", None)
    if isinstance(tuple_of, list):
        # Of one kind all of them, or not to be told in 3.0.
        older["items"] = tuple_of[0] if tuple_of and all(each == tuple_of[0] for each in tuple_of) else {}
    kinds = older.get("anyOf")
    if isinstance(kinds, list) and {"type": "null"} in kinds:
        older["anyOf"] = [kind for kind in kinds if kind != {"type": "null"}]
        older["nullable"] = True
    return older
