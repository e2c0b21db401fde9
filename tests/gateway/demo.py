"""The demo page with nothing behind it but a desk that answers the same lines to every image."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from PIL import Image, ImageOps, UnidentifiedImageError
from starlette.responses import JSONResponse, Response

from tests.gateway import lobbies
from toolkit.gateway import pages
from toolkit.gateway.catalog import Catalog, ModelInfo, TensorInfo
from toolkit.gateway.deadline import Deadline
from toolkit.gateway.faults import BadRequest, Fault
from toolkit.gateway.options import GatewayOptions

_IMAGE = (TensorInfo("image", "BYTES", (1,)),)
_TENSOR = (TensorInfo("x", "FP32", (-1, 3, -1, -1)),)
CATALOG = Catalog(
    (
        ModelInfo("ocr", "pipeline", _IMAGE, _IMAGE, digest="5e2f8a1c90d3"),
        ModelInfo("ocr.det", "model", _TENSOR, _TENSOR, "int8", "b31c6fb391d1", "pass"),
        ModelInfo("ocr.rec", "model", _TENSOR, _TENSOR, "bf16", "979e5daa0fc7", "inconclusive"),
    )
)

LINES: list[dict[str, Any]] = [
    {"text": "你好, world", "score": 0.98765, "box": [[10, 10], [70, 10], [70, 30], [10, 30]]},
    {"text": "<img src=x onerror=alert(1)>", "score": 0.71, "box": [[10, 40], [60, 42], [60, 60], [10, 58]]},
    {"text": "第三行", "score": 0.9, "box": [[80, 40], [110, 40], [110, 60], [80, 60]]},
]
TIMING = (
    "queue;dur=0.4, decode;dur=6.2, det.inference;dur=41.5, det.postprocess;dur=3.1, rec.inference;dur=30.4"
)


class FakeDesk:
    """Reads the size of an image with Pillow, turned upright if `upright`, and `lines` in each; or gives `answer`."""

    def __init__(self, catalog: Catalog = CATALOG, max_body_bytes: int = 1_000_000) -> None:
        self.options = GatewayOptions("127.0.0.1", 0, 0, max_body_bytes=max_body_bytes)
        self.catalog = catalog
        self.ready = True
        self.lines = LINES
        self.upright = True
        self.answer: dict[str, Any] | None = None
        self.fault: Fault | None = None
        self.seen: list[bytes] = []

    def slot(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def predict(self, image: bytes, deadline: Deadline) -> str:
        self.seen.append(image)
        if self.fault is not None:
            raise self.fault
        if self.catalog.pipeline.accepts != "image":
            return json.dumps(self.answer)
        try:
            with Image.open(io.BytesIO(image)) as opened:
                width, height = (ImageOps.exif_transpose(opened) if self.upright else opened).size
        except UnidentifiedImageError as error:
            raise BadRequest("not an image", "send the bytes of an image file") from error
        lines = {"lines": self.lines, "width": width, "height": height}
        return json.dumps(lines if self.answer is None else self.answer)

    async def pipeline(self, request: bytes, deadline: Deadline) -> bytes:
        raise NotImplementedError

    async def infer(self, request: bytes, deadline: Deadline) -> bytes:
        raise NotImplementedError


def app(desk: FakeDesk, *others: FakeDesk, key: str = "", timing: str = TIMING) -> FastAPI:
    """The pages, and a `POST /predict/{model}` that asks the desk of that name; with `key` it asks for that first."""
    desks = {item.catalog.pipeline.name: item for item in (desk, *others)}
    made = FastAPI(docs_url=None, redoc_url=None, redirect_slashes=False)
    made.include_router(pages.router(lobbies.of(*desks.values())))
    made.state.seen = []

    @made.exception_handler(Fault)
    async def fault(request: Request, error: Fault) -> Response:
        return _refused(error.status, error.message, error.remedy)

    @made.post("/predict/{model}")
    async def predict(model: str, request: Request) -> Response:
        made.state.seen.append((model, dict(request.headers)))
        if key and request.headers.get("authorization") != f"Bearer {key}":
            return _refused(401, "no valid API key", "send one as Authorization: Bearer")
        answer = await desks[model].predict(await request.body(), Deadline.after(5))
        return Response(answer, media_type="application/json", headers={"Server-Timing": timing})

    return made


def _refused(status: int, message: str, remedy: str) -> Response:
    return JSONResponse({"error": {"code": status, "message": message, "remedy": remedy}}, status)


@contextmanager
def served(made: FastAPI) -> Iterator[str]:
    """Its address while it runs in a thread."""
    config = uvicorn.Config(made, host="127.0.0.1", port=0, lifespan="off", log_config=None, ws="none")
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)
        listener.close()
