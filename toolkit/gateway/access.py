"""One log line for each request: what was asked, what came of it, how long it took, how much was answered."""

from __future__ import annotations

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

# Asked every few seconds by whoever watches the service; worth a line when they fail.
_PROBES = ("/healthz", "/readyz")


def log(method: str, path: str, status: object, started: float, size: int) -> None:
    """Write the line.

    Args:
        started: `time.monotonic()` at arrival.
        size: bytes of the answer's body.
    """
    logger.info("%s %s %s %.1f ms %d bytes", method, path, status, (time.monotonic() - started) * 1000, size)


class AccessLog:
    """ASGI middleware around the HTTP application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, size = time.monotonic(), 500, 0

        async def counted(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            if scope["path"] not in _PROBES or status >= 400:
                log(scope["method"], ascii(scope["path"])[1:-1], status, started, size)
