"""What happens to every HTTP request, whatever it asks for: its identity, its key, its line in the log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from toolkit.gateway import access, docs, legacy
from toolkit.gateway.access import Record
from toolkit.gateway.exposition import Exposition
from toolkit.gateway.faults import Fault
from toolkit.gateway.keys import Keys
from toolkit.gateway.trace import continued, request_id

# Asked every few seconds by whoever watches the service; worth a line when they fail.
_PROBES = ("/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready")

# What tells nothing of the models, and what has to be there before a key can be typed in. Whole paths: below
# `/docs/`, for one, is `/docs/prediction`, which takes a place and reads a body.
_OPEN = frozenset(
    ("/", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/openapi.json", *docs.PATHS)
)


class Arrival:
    """ASGI middleware around the whole application.

    Args:
        keys: None: no key is asked for.
    """

    def __init__(self, app: ASGIApp, exposition: Exposition, keys: Keys | None) -> None:
        self._app = app
        self._exposition = exposition
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = _record(scope)
        access.begin(record)
        status, size = 500, 0

        async def counted(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_headers(record)]
            else:
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self._answer(record, scope, receive, counted)
        finally:
            if scope["path"] not in _PROBES or status >= 400:
                record.log(status, size)
            if record.protocol:
                metrics = self._exposition.of(record.pipeline)
                metrics.request(record.protocol, str(status), record.seconds)
                metrics.refused(status)

    async def _answer(self, record: Record, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._admit(record, scope)
        except Fault as fault:
            record.error = fault.message
            await _refuse(fault, scope["path"], send)
            return
        await self._app(scope, receive, send)

    def _admit(self, record: Record, scope: Scope) -> None:
        if self._keys is not None and scope["path"] not in _OPEN:
            headers = _named(scope)
            record.key = self._keys.check(headers.get("authorization"), headers.get("x-api-key"))


def _named(scope: Scope) -> Mapping[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _record(scope: Scope) -> Record:
    headers, path = _named(scope), scope["path"]
    client = scope.get("client")
    return Record(
        protocol=_protocol(path),
        method=scope["method"],
        path=ascii(path)[1:-1],
        request_id=request_id(headers.get("x-request-id")),
        trace=continued(headers.get("traceparent")),
        client=client[0] if client else "",
    )


def _protocol(path: str) -> str:
    """Whose requests it belongs to; empty for what is about the service itself."""
    if path.startswith("/v2/models/") and path.endswith("/infer"):
        return "oip_http"
    if path.startswith("/predict/"):
        return "http"
    return "paddle_http" if path.endswith("/prediction") else ""


def _headers(record: Record) -> Iterator[tuple[bytes, bytes]]:
    yield b"x-request-id", record.request_id.encode("ascii")
    stages: Any = record.timings.get("stages")
    if isinstance(stages, dict):
        spent = {"queue": record.queue_seconds, **stages, "total": record.seconds}
        text = ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in spent.items())
        # https://www.w3.org/TR/server-timing/
        yield b"server-timing", text.encode("ascii", errors="replace")


async def _refuse(fault: Fault, path: str, send: Send) -> None:
    """As the protocol at `path` says it, before any route has had a say."""
    body = json.dumps(_told(fault, path)).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **fault.headers}
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": fault.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def _told(fault: Fault, path: str) -> dict[str, Any]:
    if _protocol(path) == "paddle_http":
        return legacy.render_fault(fault)
    if path.startswith("/v2"):
        return {"error": f"{fault.message}: {fault.remedy}"}
    return {"error": {"code": fault.status, "message": fault.message, "remedy": fault.remedy}}
