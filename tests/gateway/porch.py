"""A bare HTTP server behind our connections, and a gRPC server beside it, in a thread: no catalog, no replicas."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Callable

import grpc
import grpc.aio
import uvicorn
import uvloop

from toolkit.gateway import connections


class _Server(connections.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def app(scope: Any, receive: Any, send: Any) -> None:
    """`/slow` waits for its body, `/large` answers with 16 MB, `/early` before the body is there."""
    path, body = scope["path"], b"hello"
    while path == "/slow":
        message = await receive()
        if message["type"] == "http.disconnect" or not message["more_body"]:
            break
    if path == "/large":
        body = b"x" * 16_000_000
    head = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


class Porch:
    """Leaving the `with` block stops it; `stop_seconds` is how long that took."""

    def __init__(
        self,
        max_connections: int = 100,
        header_seconds: float = 5.0,
        context: ssl.SSLContext | None = None,
        credentials: Callable[[], Any] | None = None,
        keep_alive: int = 5,
    ) -> None:
        self._loop = uvloop.new_event_loop()
        self._tasks: list[asyncio.Task[None]] = []
        self.unhandled: list[dict[str, Any]] = []
        self._loop.set_exception_handler(lambda _, found: self.unhandled.append(found))
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.config = uvicorn.Config(
            app,
            http=connections.protocol(max_connections, header_seconds),
            ws="none",
            lifespan="off",
            log_config=None,
            timeout_keep_alive=keep_alive,
            timeout_graceful_shutdown=5,
        )
        self._limits = max_connections, header_seconds
        self._context, self._credentials = context, credentials

    def __enter__(self) -> Porch:
        self._thread.start()
        self.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> None:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self.config.load()
        self.config.ssl = self._context
        self.server = _Server(self.config, *self._limits)
        self._serving = asyncio.create_task(self.server.serve(sockets=[listener]))
        while not self.server.started:
            await asyncio.sleep(0.005)
        self._grpc = None
        if self._credentials is not None:
            self._grpc = grpc.aio.server()
            self._grpc.add_generic_rpc_handlers((_echo(),))
            self.grpc_port = self._grpc.add_secure_port("127.0.0.1:0", self._credentials())
            await self._grpc.start()

    async def _stop(self) -> None:
        self.server.should_exit = True
        began = self._loop.time()
        await self._serving
        self.stop_seconds = self._loop.time() - began
        for task in self._tasks:
            task.cancel()
        if self._grpc is not None:
            await self._grpc.stop(0)

    def run(self, work: Any) -> Any:
        """The result of a coroutine in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Have `work` go on in the server's loop until it stops."""

        async def begin() -> None:
            self._tasks.append(asyncio.create_task(work))

        self.run(begin())

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def ask(self, path: str = "/") -> int:
        """The status of a request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()


def _echo() -> Any:
    async def echo(request: bytes, context: Any) -> bytes:
        return request

    unary: Any = grpc.unary_unary_rpc_method_handler
    return grpc.method_handlers_generic_handler("test.Echo", {"Say": unary(echo)})


def read_all(connection: socket.socket) -> bytes:
    """All until the other end closes, or resets."""
    data = bytearray()
    try:
        while chunk := connection.recv(65536):
            data += chunk
    except ConnectionError:
        pass
    return bytes(data)


def error_of(answer: bytes) -> tuple[int, Any]:
    """Status and `error` of an answer in bytes."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head.lower()
    return int(head.split()[1]), json.loads(body)["error"]
