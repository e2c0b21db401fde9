"""Our messages against those of Paddle Serving: the same bytes, in one process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from toolkit.client import protocol

# In a process of its own: importing paddle_serving_server.pipeline prints, and has effects.
_BOTH = """
import sys
from toolkit.client import protocol as ours
from paddle_serving_server.pipeline.proto import pipeline_service_pb2 as stock
from paddle_serving_server.pipeline.proto import pipeline_service_pb2_grpc

values = {
    "int64_data": [-1, 2**62], "float_data": [0.5], "int_data": [-7], "float64_data": [0.1], "uint32_data": [7],
    "bool_data": [True, False], "complex64_data": [1.5], "complex128_data": [2.5], "str_data": ["字"],
    "byte_data": b"\\x00\\xff", "elem_type": 13, "shape": [1, -1], "lod": [0, 3], "name": "x",
}
for one, other in ((ours, stock), (stock, ours)):
    tensor = one.Tensor(**values)
    request = one.Request(
        key=["image", "k"], value=["v", "字"], tensors=[tensor], name="ocr", method="m", logid=-5, clientip="::1"
    )
    response = one.Response(err_no=-3, err_msg="e", key=["result"], value=["{}"], tensors=[tensor])
    for kind, message in (("Request", request), ("Response", response)):
        data = message.SerializeToString()
        read = getattr(other, kind).FromString(data)
        assert str(read) == str(message), (kind, str(read))
        assert read.SerializeToString() == data

def shape(module, kind):
    return [(f.name, f.number, f.type, f.label) for f in getattr(module, kind).DESCRIPTOR.fields]

for kind in ("Tensor", "Request", "Response"):
    assert shape(ours, kind) == shape(stock, kind), kind
    assert ours.__dict__[kind].DESCRIPTOR.full_name == getattr(stock, kind).DESCRIPTOR.full_name

paths = []
class Channel:
    def unary_unary(self, path, **_):
        paths.append(path)
pipeline_service_pb2_grpc.PipelineServiceStub(Channel())
assert paths == [ours.PATH], paths
print("SAME")
"""


def test_messages_and_path_are_those_of_paddle_serving_and_both_live_in_one_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BOTH], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.endswith("SAME\n"), done.stderr


def test_importing_the_client_pulls_in_nothing_heavy() -> None:
    program = "import sys, toolkit.client; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stdout.split())
    heavy = {"paddle", "paddleslim", "pydantic", "fastapi", "starlette", "uvicorn", "cv2", "requests", "yaml"}
    assert not loaded & heavy
    assert not {name for name in loaded if name.startswith("paddle_serving")}
    assert {"toolkit", "grpc", "google"} <= loaded


def test_a_packed_image_is_what_the_contract_of_the_replica_says() -> None:
    request = protocol.Request.FromString(protocol.pack_text("ocr", "QUJD"))
    assert (request.name, request.method) == ("ocr", "prediction")
    assert (list(request.key), list(request.value)) == (["image"], ["QUJD"])


def test_a_value_is_found_by_its_key_and_a_key_without_one_has_none() -> None:
    message = protocol.Request(key=["a", "b", "c"], value=["1", "2"])
    assert [protocol.first_value(message, key) for key in "abcd"] == ["1", "2", None, None]


@pytest.mark.parametrize("size", [0, 1, 127, 128, 20_000, 3_000_000])
def test_a_packed_file_is_what_protobuf_would_write(size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    request = protocol.Request.FromString(protocol.pack_file("模型", data))
    assert (request.name, request.method, len(request.tensors)) == ("模型", "prediction", 1)
    tensor = request.tensors[0]
    assert (tensor.name, tensor.elem_type, tensor.byte_data) == ("image", protocol.FILE_TYPE, data)
