"""A desk without replicas, and the Open Inference Protocol served from it over HTTP and gRPC."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import numpy as np
import uvicorn
import uvloop
from fastapi import FastAPI

from tests.fakes import LINES
from tests.gateway import lobbies
from toolkit import oip
from toolkit.gateway import oip_rest, oip_rpc
from toolkit.gateway.catalog import Catalog, ModelInfo, TensorInfo
from toolkit.gateway.deadline import Deadline
from toolkit.gateway.faults import BadRequest, DeadlineExceeded, Fault, NotReady, Overloaded
from toolkit.gateway.options import GatewayOptions
from toolkit.serving.tensors import BadTensors, Tensors

PIPELINE = ModelInfo(
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
)
MODEL = ModelInfo(
    "ocr.det",
    "model",
    (TensorInfo("image", "FP32", (-1, 3, -1, -1)),),
    (TensorInfo("probability", "FP32", (-1, 1, -1, -1)), TensorInfo("classes", "INT64", (-1,))),
    precision="int8",
)


def detect(feed: Any) -> Any:
    """The model: the mean over the three channels, and a number for each image."""
    image = feed["image"]
    return {
        "probability": image.mean(axis=1, keepdims=True, dtype=np.float32),
        "classes": np.arange(len(image), dtype=np.int64),
    }


@dataclass(frozen=True)
class Answer:
    """Of a plain HTTP request; the names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class FakeDesk:
    """
    Attributes:
        places: requests that may be under way.
        fault: raised instead of every answer.
        answer: of the pipeline; None: two lines, and a size.
        seen: what it was asked: an image in base64, or the bytes of a request.
        deadlines: seconds that each of them had.
        delay: seconds before each answer, or until its deadline.
    """

    options: GatewayOptions = field(
        default_factory=lambda: GatewayOptions("127.0.0.1", 0, 0, max_body_bytes=1_000_000, deadline=5.0)
    )
    catalog: Catalog = field(default_factory=lambda: Catalog((PIPELINE, MODEL)))
    ready: bool = True
    places: int = 8
    fault: Exception | None = None
    answer: str | None = None
    delay: float = 0.0
    seen: list[Any] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)

    @contextmanager
    def slot(self) -> Iterator[None]:
        if not self.ready:
            raise NotReady("the service is not ready", "try again in a moment")
        if not self.places:
            raise Overloaded("too many requests", "try again later", 7)
        self.places -= 1
        try:
            yield
        finally:
            self.places += 1

    async def predict(self, image: bytes, deadline: Deadline) -> str:
        await self._take(image, deadline)
        if not image.startswith(b"\x89PNG"):
            raise BadRequest("not an image", "send the bytes of an image file")
        return self.answer or json.dumps({"lines": LINES, "width": 64, "height": 32})

    async def pipeline(self, request: bytes, deadline: Deadline) -> bytes:
        raise NotImplementedError

    async def infer(self, request: bytes, deadline: Deadline) -> bytes:
        await self._take(request, deadline)
        try:
            return Tensors({MODEL.name: detect}).infer(request)
        except BadTensors as error:
            raise BadRequest(str(error), "send what the model takes") from error

    async def _take(self, asked: Any, deadline: Deadline) -> None:
        self.seen.append(asked)
        remaining = deadline.remaining
        self.deadlines.append(remaining)
        await asyncio.sleep(min(self.delay, max(remaining, 0)))
        if self.fault is not None:
            raise self.fault
        if self.delay >= remaining:
            raise DeadlineExceeded("no answer before the deadline", "allow more time")


class Counter:
    """The desk behind an HTTP and a gRPC port, in a thread of its own."""

    def __init__(self, desk: FakeDesk) -> None:
        self._desk = desk
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.http = self.grpc = ""

    def __enter__(self) -> Counter:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(20)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        app = FastAPI(redirect_slashes=False)
        app.include_router(oip_rest.router(lobbies.of(self._desk)))
        self._web = _Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", ws="none"))
        self._serving = asyncio.create_task(self._web.serve())
        while not self._web.started:
            await asyncio.sleep(0.01)
        self.http = f"127.0.0.1:{self._web.servers[0].sockets[0].getsockname()[1]}"
        self._rpc = grpc.aio.server()
        unary: Any = grpc.unary_unary_rpc_method_handler
        methods = {
            name: unary(guarded(call)) for name, call in oip_rpc.functions(lobbies.of(self._desk)).items()
        }
        self._rpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(oip.SERVICE, methods),))
        self.grpc = f"127.0.0.1:{self._rpc.add_insecure_port('127.0.0.1:0')}"
        await self._rpc.start()

    async def _stop(self) -> None:
        self._web.should_exit = True
        await asyncio.gather(self._serving, self._rpc.stop(0))


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def guarded(function: oip_rpc.Unary) -> Any:
    """A handler that tells faults as the front door does."""

    async def handler(request: bytes, context: Any) -> bytes:
        try:
            return await function(request, context)
        except Fault as fault:
            await context.abort(fault.code, f"{fault.message}: {fault.remedy}")
            raise

    return handler
