"""The fake replica: a gRPC server that keeps the contract of a real one without a model behind it.

The contract, which `tests/contract.py` checks on the fake and on the real replica:

- service `baidu.paddle_serving.pipeline_serving.PipelineService`, method `inference`, on a unix socket, insecure;
- Request(name, method="prediction", key=["image"], value=["<base64>"]) -> Response(err_no=0, key=["result"],
  value=['{"lines": [{"text", "score", "box": [[x, y] * 4]}], "width", "height"}']);
- an empty name is any name; another model's name is err_no 3002 (Paddle Serving's own NO_SERVICE);
- the image may also come as a tensor that is a text (elem_type 12), as stock clients can pack it, or a file as it is
  (elem_type 100), as the front door packs it;
- missing image, broken base64, other tensors: err_no 51; too many pixels: 52; not an image: 54; all with an err_msg;
- an error number is an answer: the gRPC status is OK.

Only PNG is an image to the fake: it believes the size in the header, and reads the same two lines in each.
A fake that takes texts or JSON answers what it got, as `{"got": ...}`.
"""

from __future__ import annotations

import base64
import json
import struct
import sys
import threading
import time
import zlib
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from toolkit.client import protocol
from toolkit.content import read
from toolkit.content.kinds import FIELDS, Kind
from toolkit.content.read import ContentError
from toolkit.serving import fields
from toolkit.serving.timing import METADATA_KEY

MAX_PIXELS = 100_000_000

_FILE = protocol.FILE_TYPE

LINES = [
    {"text": "你好, world", "score": 0.98765, "box": [[1.0, 2.0], [50.0, 2.0], [50.0, 12.0], [1.0, 12.0]]},
    {"text": '<"&>', "score": 0.5, "box": [[1.5, 20.0], [30.0, 20.0], [30.0, 30.25], [1.5, 30.25]]},
]

# What a replica of a newer release reads, where a test tells the two apart.
NEWER = [{**LINES[0], "text": "newer"}]


def png(width: int = 64, height: int = 32) -> bytes:
    """A white image, one bit a pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\x00" + b"\xff" * ((width + 7) // 8)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = zlib.compress(row * height, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@dataclass
class Plan:
    """How the fake behaves; may be changed while it runs.

    Attributes:
        delay: seconds before every answer.
        err_no: answer this instead, if not zero.
        timings: what it says of its own time, if anything.
        crash: fail as a servicer that raises does.
        lines: what it reads.
        seen: requests it has answered, or begun to.
        arrived: set by the first request.
        cancelled: set when a caller gave up before its answer.
    """

    delay: float = 0.0
    err_no: int = 0
    err_msg: str = ""
    timings: dict[str, Any] = field(default_factory=dict)
    crash: bool = False
    lines: list[Any] = field(default_factory=lambda: list(LINES))
    seen: list[Any] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)


class FakeReplica:
    """A running fake; `target` is what the front door is told."""

    def __init__(self, socket: Path, name: str = "ocr", kind: Kind = "image") -> None:
        self.target = f"unix:{socket}"
        self.plan = Plan()
        self._name = name
        self._kind = kind
        self._server: grpc.Server | None = None

    def __enter__(self) -> FakeReplica:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=8),
            options=(("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)),
        )
        handler = grpc.unary_unary_rpc_method_handler(
            self._inference,
            request_deserializer=protocol.Request.FromString,
            response_serializer=protocol.Response.SerializeToString,
        )
        methods = {protocol.METHOD: handler}
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(protocol.SERVICE, methods),)
        )
        self._server.add_insecure_port(self.target)
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(0).wait()
            self._server = None

    def _inference(self, request: Any, context: grpc.ServicerContext) -> Any:
        plan = self.plan
        plan.seen.append(request)
        plan.arrived.set()
        end = time.monotonic() + plan.delay
        while time.monotonic() < end and context.is_active():
            time.sleep(0.01)
        if not context.is_active():
            plan.cancelled.set()
        if plan.timings:
            context.set_trailing_metadata(((METADATA_KEY, json.dumps(plan.timings)),))
        if plan.crash:
            raise RuntimeError("planned crash")
        if plan.err_no:
            return protocol.Response(err_no=plan.err_no, err_msg=plan.err_msg)
        return self._answer(request)

    def _answer(self, request: Any) -> Any:
        if request.name not in ("", self._name):
            return _failed(protocol.NO_SERVICE, "Failed to inference: Service name error.")
        if any(tensor.elem_type not in (12, _FILE) for tensor in request.tensors):
            return _failed(protocol.BAD_REQUEST, "a tensor that is no text")
        if self._kind != "image":
            return self._repeat(request)
        files = {tensor.name: tensor.byte_data for tensor in request.tensors if tensor.elem_type == _FILE}
        if files:
            return self._read(files[protocol.IMAGE_KEY])
        texts = {tensor.name: "".join(tensor.str_data) for tensor in request.tensors}
        text = texts.get(protocol.IMAGE_KEY, protocol.first_value(request, protocol.IMAGE_KEY))
        if not text:
            return _failed(protocol.BAD_REQUEST, "send one image")
        try:
            image = base64.b64decode(text, validate=True)
        except ValueError as error:
            return _failed(protocol.BAD_REQUEST, f"not base64: {error}")
        return self._read(image)

    def _repeat(self, request: Any) -> Any:
        try:
            got = read.fields(self._kind, fields.of(request, self._kind))[FIELDS[self._kind]]
        except ContentError as error:
            return _failed(protocol.BAD_REQUEST, str(error))
        return protocol.Response(key=[protocol.RESULT_KEY], value=[json.dumps({"got": got})])

    def _read(self, image: bytes) -> Any:
        if not image.startswith(b"\x89PNG"):
            return _failed(protocol.UNPROCESSABLE, "not an image")
        width, height = struct.unpack(">II", image[16:24])
        if width * height > MAX_PIXELS:
            return _failed(protocol.TOO_LARGE, f"{width} x {height} pixels are too many")
        result = {"lines": self.plan.lines, "width": width, "height": height}
        return protocol.Response(key=[protocol.RESULT_KEY], value=[json.dumps(result, ensure_ascii=False)])


def _failed(err_no: int, message: str) -> Any:
    return protocol.Response(err_no=err_no, err_msg=message)


if __name__ == "__main__":
    # A replica in a process of its own, for tests that kill it: fakes.py SOCKET DELAY
    with FakeReplica(Path(sys.argv[1])) as fake:
        fake.plan.delay = float(sys.argv[2])
        print("ready", flush=True)
        fake.plan.arrived.wait()
        print("arrived", flush=True)
        time.sleep(60)
