"""A front door that runs in a thread of its own, and plain sockets to knock at it."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from dataclasses import dataclass, replace
from typing import Any, Callable

import uvloop

from toolkit.gateway.catalog import Catalog, ModelInfo, TensorInfo
from toolkit.gateway.endpoint import Endpoint
from toolkit.gateway.frontdesk import FrontDesk
from toolkit.gateway.options import GatewayOptions
from toolkit.gateway.pool import Pool
from toolkit.gateway.server import Gateway

CATALOG = Catalog(
    (
        ModelInfo(
            "ocr",
            "pipeline",
            (TensorInfo("image", "BYTES", (1,)),),
            (
                TensorInfo("text", "BYTES", (-1,), "lines.text"),
                TensorInfo("score", "FP32", (-1,), "lines.score"),
                TensorInfo("box", "FP32", (-1, 4, 2), "lines.box"),
                TensorInfo("width", "INT64", (1,), "width"),
                TensorInfo("height", "INT64", (1,), "height"),
            ),
        ),
        ModelInfo(
            "ocr.det",
            "model",
            (TensorInfo("image", "FP32", (-1, 3, -1, -1)),),
            (TensorInfo("probability", "FP32", (-1, 1, -1, -1)),),
            "int8",
            "0123456789abcdef",
            "pass",
        ),
    )
)


def options(**changes: Any) -> GatewayOptions:
    settings = {"host": "127.0.0.1", "http_port": 0, "grpc_port": 0}
    return GatewayOptions(**{**settings, **changes})


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Door:
    """A running front door of replicas at gRPC targets. Leaving the `with` block stops it.

    Args:
        depth: requests that each replica is given at a time.
        catalog: what they offer.
    """

    def __init__(
        self,
        *replicas: str,
        settings: GatewayOptions | None = None,
        is_ready: Callable[[], bool] = lambda: True,
        depth: int = 4,
        catalog: Catalog = CATALOG,
    ) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.pool = Pool(depth)
        self.endpoints: list[Endpoint] = []
        self._replicas = replicas
        made = settings or options()
        self.gateway = Gateway(made)
        self.office = self.gateway.enter(catalog.pipeline.name)
        self._settings, self._depth = made, depth
        self.desk = self.office.open(made, catalog, self.pool, len(replicas) * depth, is_ready)
        self.office.shift(self.desk)
        self._stopped = False

    async def _start(self) -> None:
        await self.gateway.start()
        self.endpoints = [Endpoint(index, target) for index, target in enumerate(self._replicas)]
        for endpoint in self.endpoints:
            self.pool.add(endpoint)

    async def _stop(self, grace: float) -> None:
        await self.gateway.stop(grace)
        for endpoint in self.endpoints:
            await endpoint.close()

    def __enter__(self) -> Door:
        self._thread.start()
        try:
            self.run(self._start())
        except BaseException:
            self._end_loop()
            raise
        self.http_port, self.grpc_port = self.gateway.http_port, self.gateway.grpc_port
        self.url, self.target = f"http://127.0.0.1:{self.http_port}", f"127.0.0.1:{self.grpc_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(grace=0)
        self._end_loop()

    def stop(self, grace: float) -> None:
        if not self._stopped:
            self._stopped = True
            self.run(self._stop(grace))

    def beside(
        self,
        *replicas: str,
        release: str = "newer",
        is_ready: Callable[[], bool] = lambda: True,
        pool: Pool | None = None,
    ) -> FrontDesk:
        """A desk of another release, which gets no request of itself."""
        pool = pool or Pool(self._depth)

        def work() -> FrontDesk:
            for index, target in enumerate(replicas):
                self.endpoints.append(Endpoint(index, target))
                pool.add(self.endpoints[-1])
            catalog = replace(CATALOG, release=release)
            return self.office.open(self._settings, catalog, pool, len(replicas) * self._depth, is_ready)

        desk: FrontDesk = self.call(work)
        return desk

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One request on a connection of its own; a body that is not bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=20)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers = {"Content-Type": "application/json", **(headers or {})}
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, fields, response.read().decode())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """A bare connection to the HTTP port."""
        return socket.create_connection(("127.0.0.1", self.http_port), timeout=20)

    def call(self, work: Callable[[], Any]) -> Any:
        """The result of `work`, done in the loop of the front door."""

        async def inside() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(inside(), self._loop).result(30)

    def run(self, work: Any) -> None:
        """Have the loop of the front door do `work`, a coroutine."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
