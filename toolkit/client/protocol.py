"""Paddle Serving's pipeline protocol: its messages, its service path, and its error numbers.

The messages are those of `paddle_serving_server/pipeline/proto/pipeline_service.proto`, the same on the wire.
They are built in a descriptor pool of their own, because protobuf refuses two definitions of one message in
one pool, and a program may well import Paddle Serving's generated modules too.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal import encoder, wire_format

from toolkit.content.kinds import FIELDS

PACKAGE = "baidu.paddle_serving.pipeline_serving"
SERVICE = f"{PACKAGE}.PipelineService"
METHOD = "inference"
PATH = f"/{SERVICE}/{METHOD}"

IMAGE_KEY = FIELDS["image"]

# The element type of a file's bytes, which only our front door and replicas know: Paddle Serving's end at 13.
FILE_TYPE = 100
RESULT_KEY = "result"
METHOD_NAME = "prediction"

# `err_no` of a Response. NO_SERVICE is Paddle Serving's own (pipeline/error_catch.py); the others are ours, from the
# range that it leaves to products, 51 to 99.
OK = 0
NO_SERVICE = 3002
BAD_REQUEST = 51
TOO_LARGE = 52
INTERNAL = 53
UNPROCESSABLE = 54

_STATUS = {OK: 200, NO_SERVICE: 404, BAD_REQUEST: 400, TOO_LARGE: 413, UNPROCESSABLE: 422}

_ONE, _MANY = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED
_BOOL, _BYTES, _STRING = (
    FieldDescriptorProto.TYPE_BOOL,
    FieldDescriptorProto.TYPE_BYTES,
    FieldDescriptorProto.TYPE_STRING,
)
_INT32, _INT64, _UINT32 = (
    FieldDescriptorProto.TYPE_INT32,
    FieldDescriptorProto.TYPE_INT64,
    FieldDescriptorProto.TYPE_UINT32,
)
_FLOAT, _DOUBLE = FieldDescriptorProto.TYPE_FLOAT, FieldDescriptorProto.TYPE_DOUBLE
_TENSOR = FieldDescriptorProto.TYPE_MESSAGE

_MESSAGES = {
    "Tensor": (
        ("int64_data", 1, _INT64, _MANY),
        ("float_data", 2, _FLOAT, _MANY),
        ("int_data", 3, _INT32, _MANY),
        ("float64_data", 4, _DOUBLE, _MANY),
        ("uint32_data", 5, _UINT32, _MANY),
        ("bool_data", 6, _BOOL, _MANY),
        ("complex64_data", 7, _FLOAT, _MANY),
        ("complex128_data", 8, _DOUBLE, _MANY),
        ("str_data", 9, _STRING, _MANY),
        ("byte_data", 10, _BYTES, _ONE),
        ("elem_type", 20, _INT32, _ONE),
        ("shape", 21, _INT32, _MANY),
        ("lod", 22, _INT32, _MANY),
        ("name", 23, _STRING, _ONE),
    ),
    "Request": (
        ("key", 1, _STRING, _MANY),
        ("value", 2, _STRING, _MANY),
        ("tensors", 3, _TENSOR, _MANY),
        ("name", 4, _STRING, _ONE),
        ("method", 5, _STRING, _ONE),
        ("logid", 6, _INT64, _ONE),
        ("clientip", 7, _STRING, _ONE),
    ),
    "Response": (
        ("err_no", 1, _INT32, _ONE),
        ("err_msg", 2, _STRING, _ONE),
        ("key", 3, _STRING, _MANY),
        ("value", 4, _STRING, _MANY),
        ("tensors", 5, _TENSOR, _MANY),
    ),
}


def file() -> FileDescriptorProto:
    """The protocol as a .proto file describes it, with its service."""
    file = FileDescriptorProto(name="pipeline_service.proto", package=PACKAGE, syntax="proto3")
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for name, number, kind, label in fields:
            type_name = f".{PACKAGE}.Tensor" if kind == _TENSOR else None
            message.field.add(name=name, number=number, type=kind, label=label, type_name=type_name)
    file.service.add(name=SERVICE.rpartition(".")[2]).method.add(
        name=METHOD, input_type=f".{PACKAGE}.Request", output_type=f".{PACKAGE}.Response"
    )
    return file


def _classes() -> dict[str, Any]:
    pool: Any = DescriptorPool()
    pool.Add(file())
    factory: Any = message_factory.MessageFactory(pool)
    return {name: factory.GetPrototype(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _MESSAGES}


_built = _classes()
Tensor: Any = _built["Tensor"]
Request: Any = _built["Request"]
Response: Any = _built["Response"]

NAME: int = Request.DESCRIPTOR.fields_by_name["name"].number
_TENSORS = Request.DESCRIPTOR.fields_by_name["tensors"].number
_BYTE_DATA = Tensor.DESCRIPTOR.fields_by_name["byte_data"].number


def pack_text(model: str, text: str, field: str = IMAGE_KEY) -> bytes:
    """The serialized Request that asks `model` for what is a text there.

    Args:
        text: an image in standard base64 without line breaks, a text, or JSON.
        field: that it comes in.
    """
    request = Request(name=model, method=METHOD_NAME, key=[field], value=[text])
    return bytes(request.SerializeToString())


def pack_file(model: str, data: bytes, field: str = IMAGE_KEY) -> bytes:
    """The serialized Request that asks `model` for one file; for a replica of ours, which need not decode it.

    Put together by hand, since protobuf copies `data` three times.

    Args:
        field: that it comes in.
    """
    tensor = Tensor(name=field, elem_type=FILE_TYPE).SerializeToString() + _begin(_BYTE_DATA, len(data))
    request = Request(name=model, method=METHOD_NAME).SerializeToString()
    return b"".join((request, _begin(_TENSORS, len(tensor) + len(data)), tensor, data))


def _begin(field: int, size: int) -> bytes:
    """What stands before `size` bytes of a field; https://protobuf.dev/programming-guides/encoding"""
    tag: bytes = encoder.TagBytes(field, wire_format.WIRETYPE_LENGTH_DELIMITED)
    length: bytes = encoder._VarintBytes(size)  # type: ignore[attr-defined] # typeshed does not know it
    return tag + length


def first_value(message: Any, key: str) -> str | None:
    """The value beside `key` in a Request or Response, which hold their pairs as two parallel lists."""
    return next((str(value) for name, value in zip(message.key, message.value) if name == key), None)


def http_status(err_no: int) -> int:
    """The HTTP status that an `err_no` stands for."""
    return _STATUS.get(err_no, 500)
