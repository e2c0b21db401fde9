"""Every parser of what clients send, with inputs to begin with."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import numpy as np
from google.protobuf.message import DecodeError
from PIL import Image

from tests.fuzz.run import Target
from toolkit import pipeline
from toolkit.client import protocol
from toolkit.gateway import body, deadline, intake, legacy, predict, schemas, trace
from toolkit.gateway.faults import Fault
from toolkit.gateway.keys import Keys
from toolkit.oip import codec, messages, rest, wire
from toolkit.oip.errors import OipError
from toolkit.pipeline import RequestError
from toolkit.serving import fields

_OCR = Path(__file__).resolve().parents[2] / "pipelines" / "ocr"
_FORM = "multipart/form-data; boundary=b"


def all_targets() -> Iterator[Target]:
    """One for each protocol, header and kind of content."""
    yield Target("predict-json", _predict_json, (Fault,), _predict_seeds())
    yield Target("predict-text", intake.TEXT.from_json, (Fault,), _content_seeds("text"))
    yield Target("predict-inputs", intake.JSON.from_json, (Fault,), _content_seeds("inputs"))
    yield Target(
        "predict-form", lambda data: predict.content_of(_FORM, data, intake.IMAGE), (Fault,), _form_seeds()
    )
    yield Target(
        "content-type", _content_type, (Fault,), [_FORM.encode(), b"application/json; charset=utf-8"]
    )
    yield Target(
        "paddle-http", lambda data: legacy.parse(data, "ocr", intake.IMAGE), (Fault,), _legacy_seeds()
    )
    yield Target(
        "paddle-http-text", lambda data: legacy.parse(data, "ocr", intake.TEXT), (Fault,), _legacy_seeds()
    )
    yield Target("paddle-grpc", _paddle_grpc, (RequestError, DecodeError), _request_seeds())
    yield Target("oip-json", lambda data: rest.parse(data, None, "ocr"), (OipError,), _oip_seeds())
    yield Target("oip-binary", _oip_binary, (OipError,), _oip_binary_seeds())
    yield Target("oip-grpc", _oip_grpc, (OipError, DecodeError), _oip_grpc_seeds())
    yield Target("image", _reader(), (RequestError,), _images())
    yield Target(
        "headers",
        _headers,
        (Fault,),
        [b"1500", b"0123456789abcdef0123", b"Bearer 0123456789abcdef0123", *_TRACES],
    )


# ------------------------------------------------------------------------------------------------- our own JSON


def _predict_json(data: bytes) -> None:
    body.decode(schemas.parse_predict(data).image)


def _predict_seeds() -> list[bytes]:
    image = base64.b64encode(_images()[0]).decode()
    texts = (image, "", "data:image/png;base64,QUJD", "QUJ=", "字")
    return [json.dumps({"image": text}).encode() for text in texts]


def _content_seeds(field: str) -> list[bytes]:
    contents = ("字, a", "", "\ud83d\udc26", {"x": [1, 2.5, None]}, [[1, -2], [3e300]], 5)
    return [json.dumps({field: content}).encode() for content in contents]


def _form_seeds() -> list[bytes]:
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    note = b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    return [head + b"bytes\r\n--b--\r\n", note + head + b"\r\n--b\r\r\n--b--\r\n", b"--b--\r\n"]


def _content_type(data: bytes) -> None:
    predict.content_of(data.decode("latin-1"), _form_seeds()[0], intake.IMAGE)


# --------------------------------------------------------------------------------------------- Paddle Serving's


def _legacy_seeds() -> list[bytes]:
    tensor = {"name": "image", "elem_type": 12, "str_data": ["QUJD"], "shape": [1], "byte_data": "QUJD"}
    asked: list[Any] = [
        {"key": ["image"], "value": ["QUJD"]},
        {"tensors": [tensor], "logid": 5},
        {},
    ]
    return [json.dumps(each).encode() for each in asked]


def _paddle_grpc(data: bytes) -> None:
    fields.of(protocol.Request.FromString(data), "image")


def _request_seeds() -> list[bytes]:
    tensor = protocol.Tensor(name="image", elem_type=12, str_data=["QUJD"], shape=[1])
    pickled = protocol.Tensor(name="image", elem_type=13, byte_data=b"\x93NUMPY")
    return [
        protocol.pack_text("ocr", "QUJD"),
        protocol.pack_file("ocr", b"bytes"),
        protocol.Request(name="ocr", tensors=[tensor, pickled]).SerializeToString(),
    ]


# ---------------------------------------------------------------------------------- the Open Inference Protocol


def _oip_seeds() -> list[bytes]:
    inputs = [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2.5], [3, -4e5]]}]
    texts = [{"name": "image", "shape": [1], "datatype": "BYTES", "data": ["QUJD"]}]
    outputs = [{"name": "y", "parameters": {"binary_data": True}}]
    return [
        json.dumps({"id": "a", "inputs": inputs, "outputs": outputs}).encode(),
        json.dumps({"inputs": texts, "parameters": {"binary_data_output": True}}).encode(),
        b"{}",
    ]


def _oip_binary(data: bytes) -> None:
    """The first two bytes say where the JSON ends."""
    rest.parse(data[2:], str(int.from_bytes(data[:2], "little")), "ocr")


def _oip_binary_seeds() -> list[bytes]:
    item = {"name": "x", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}
    texts = {"name": "t", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 7}}
    seeds = []
    for entries, data in (([item], bytes(8)), ([texts], b"\x03\x00\x00\x00abc"), ([item, texts], bytes(15))):
        head = json.dumps({"inputs": entries}).encode()
        seeds.append(len(head).to_bytes(2, "little") + head + data)
    return seeds


def _oip_grpc(data: bytes) -> None:
    wire.check(data)
    message = messages.ModelInferRequest.FromString(data)
    codec.requested(message)
    codec.inputs(message)


def _oip_grpc_seeds() -> list[bytes]:
    arrays = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "t": np.array([b"abc"], dtype=np.object_)}
    raw = codec.request("ocr.det", arrays)
    typed = messages.ModelInferRequest(model_name="ocr")
    tensor = typed.inputs.add(name="x", datatype="INT64", shape=[2])
    tensor.contents.int64_contents.extend([1, 2])
    return [raw.SerializeToString(), typed.SerializeToString()]


# ---------------------------------------------------------------------------------------------- images, headers


def _reader() -> Callable[[bytes], object]:
    read: Any = pipeline.resolve(_OCR, "ops:decode")
    return lambda data: read({"image": data}, {"max_pixels": 100_000}) if data else None


def _images() -> list[bytes]:
    picture = Image.fromarray(np.arange(16 * 24 * 3, dtype=np.uint8).reshape(16, 24, 3))
    kinds: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("PNG", picture, {}),
        (
            "JPEG",
            picture,
            {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"},
        ),
        ("JPEG", picture.convert("CMYK"), {"progressive": True}),
        ("BMP", picture, {}),
        ("TIFF", picture, {"compression": "tiff_lzw"}),
        ("WEBP", picture, {}),
        ("GIF", picture, {"save_all": True, "append_images": [picture.rotate(90)]}),
        ("PNG", picture.convert("I").convert("I;16"), {}),
        ("PNG", picture.convert("P"), {"transparency": 0}),
    ]
    seeds = []
    for kind, image, options in kinds:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        seeds.append(buffer.getvalue())
    return seeds


_TRACES = (b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", b"01-aa-bb-cc-dd", b"order-17")


def _headers(data: bytes) -> None:
    text = data.decode("latin-1")
    trace.continued(text)
    trace.request_id(text)
    keys = Keys.load(None, {"TOOLKIT_API_KEYS": "0123456789abcdef0123"})
    assert keys is not None
    for check in (lambda: deadline.from_header(text, 30.0), lambda: keys.check(text, None)):
        try:
            check()
        except Fault:
            continue
    keys.check(None, text)
