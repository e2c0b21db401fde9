from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient import grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from tests.fakes import LINES, png
from tests.gateway.desk import MODEL, PIPELINE, Counter, FakeDesk
from toolkit import oip
from toolkit.gateway.faults import Fault, NotReady, Poison, ReplicaFault, Unprocessable

PIXELS = np.arange(24, dtype=np.float32).reshape(1, 3, 2, 4)


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Counter, FakeDesk]]:
    desk = FakeDesk()
    with Counter(desk) as counter:
        yield counter, desk


@pytest.fixture
def desk(shared: tuple[Counter, FakeDesk]) -> Iterator[FakeDesk]:
    yield shared[1]
    vars(shared[1]).update(vars(FakeDesk()))


@pytest.fixture
def client(shared: tuple[Counter, FakeDesk], desk: FakeDesk) -> Iterator[Any]:
    with triton.InferenceServerClient(shared[0].grpc) as connected:
        yield connected


@pytest.fixture
def stub(shared: tuple[Counter, FakeDesk], desk: FakeDesk) -> Iterator[Any]:
    with grpc.insecure_channel(shared[0].grpc) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def image(data: bytes = b"") -> Any:
    item = triton.InferInput("image", [1], "BYTES")
    item.set_data_from_numpy(np.array([data or png()], object))
    return item


def pixels(array: Any = PIXELS) -> Any:
    item = triton.InferInput("image", list(array.shape), "FP32")
    item.set_data_from_numpy(array)
    return item


def refused(call: Any, code: grpc.StatusCode, message: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    assert error.code() is code
    assert message in error.details()


def test_server_and_models_are_live_and_ready(client: Any, desk: FakeDesk) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("ocr")
    assert client.is_model_ready("ocr.det", "1")
    desk.ready = False
    assert client.is_server_live()
    assert not client.is_server_ready()
    assert not client.is_model_ready("ocr")
    with pytest.raises(InferenceServerException, match="NOT_FOUND") as caught:
        client.is_model_ready("nope")
    assert "ask for 'ocr'" in caught.value.message()


def test_metadata_tells_what_the_server_can_and_what_the_models_take(client: Any) -> None:
    assert client.get_server_metadata().extensions == ["binary_tensor_data"]
    for info in (PIPELINE, MODEL):
        found = client.get_model_metadata(info.name)
        assert (found.name, found.versions) == (info.name, ["1"])
        assert [(item.name, item.datatype, tuple(item.shape)) for item in found.outputs] == [
            (item.name, item.datatype, item.shape) for item in info.outputs
        ]
        assert [item.name for item in found.inputs] == ["image"]
    with pytest.raises(InferenceServerException, match="no version '2'"):
        client.get_model_metadata("ocr", "2")


def test_an_image_is_answered_with_its_lines_as_tensors(client: Any, desk: FakeDesk) -> None:
    result = client.infer("ocr", [image()], request_id="abc")
    assert [item.decode() for item in result.as_numpy("text")] == [line["text"] for line in LINES]
    assert result.as_numpy("score") == pytest.approx([line["score"] for line in LINES])
    assert np.array_equal(result.as_numpy("box"), np.array([line["box"] for line in LINES], np.float32))
    assert (result.as_numpy("width").tolist(), result.as_numpy("height").tolist()) == ([64], [32])
    response = result.get_response()
    assert (response.id, response.model_name, response.model_version) == ("abc", "ocr", "1")
    assert desk.seen[0] == png()


def test_a_page_without_lines_is_tensors_of_no_rows(client: Any, desk: FakeDesk) -> None:
    desk.answer = json.dumps({"lines": [], "width": 1, "height": 1})
    result = client.infer("ocr", [image()])
    assert result.as_numpy("text").shape == (0,)
    assert result.as_numpy("score").shape == (0,)
    assert result.as_numpy("box").shape == (0, 4, 2)


def test_the_image_as_typed_contents_is_the_same_image(stub: Any, desk: FakeDesk) -> None:
    request = service_pb2.ModelInferRequest(model_name="ocr")
    tensor = request.inputs.add(name="image", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(png())
    assert len(stub.ModelInfer(request).outputs) == 5
    assert desk.seen[0] == png()


def test_an_image_in_base64_is_not_guessed_to_be_one(client: Any) -> None:
    with pytest.raises(InferenceServerException, match="not an image"):
        client.infer("ocr", [image(base64.b64encode(png()))])


def test_a_single_model_answers_tensors_with_tensors(client: Any, stub: Any) -> None:
    result = client.infer("ocr.det", [pixels()], "1", request_id="9")
    assert np.array_equal(result.as_numpy("probability"), PIXELS.mean(axis=1, keepdims=True))
    assert result.as_numpy("classes").tolist() == [0]
    assert result.get_response().id == "9"
    request = service_pb2.ModelInferRequest(model_name="ocr.det")
    tensor = request.inputs.add(name="image", datatype="FP32", shape=[1, 3, 2, 4])
    tensor.contents.fp32_contents.extend(PIXELS.ravel().tolist())
    assert stub.ModelInfer(request).raw_output_contents == result.get_response().raw_output_contents


def test_only_the_outputs_that_are_asked_for_are_answered(client: Any) -> None:
    for model, sent, name in (("ocr", image(), "score"), ("ocr.det", pixels(), "classes")):
        result = client.infer(model, [sent], outputs=[triton.InferRequestedOutput(name)])
        assert [item.name for item in result.get_response().outputs] == [name]


def test_what_a_model_does_not_take_is_an_invalid_argument_and_never_reaches_the_replica(
    client: Any, stub: Any, desk: FakeDesk
) -> None:
    for sent, outputs, message in (
        (pixels(np.zeros((1, 1, 2, 2), np.float32)), None, "not like"),
        (pixels(np.zeros((3, 2, 2), np.float32)), None, "not like"),
        (pixels(), [triton.InferRequestedOutput("y")], "no output 'y'"),
        (pixels(), [triton.InferRequestedOutput("classes", class_count=3)], "no classification"),
    ):
        with pytest.raises(InferenceServerException, match="INVALID_ARGUMENT") as caught:
            client.infer("ocr.det", [sent], outputs=outputs)
        assert message in caught.value.message()
    request = service_pb2.ModelInferRequest(model_name="ocr.det", raw_input_contents=[bytes(4)])
    request.inputs.add(name="image", datatype="FP32", shape=[2**31, 3, 2**31, 1])
    refused(lambda: stub.ModelInfer(request), grpc.StatusCode.INVALID_ARGUMENT, "too large")
    request = service_pb2.ModelInferRequest(model_name="ocr.det")
    refused(lambda: stub.ModelInfer(request), grpc.StatusCode.INVALID_ARGUMENT, "'image' is missing")
    request.inputs.add(name="image\n" * 100_000, datatype="FP32", shape=[0])
    refused(lambda: stub.ModelInfer(request), grpc.StatusCode.INVALID_ARGUMENT, "has no input")
    assert desk.seen == []


@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata", oip.INFER])
def test_bytes_that_are_no_message_are_an_invalid_argument(
    shared: tuple[Counter, FakeDesk], desk: FakeDesk, method: str
) -> None:
    with grpc.insecure_channel(shared[0].grpc) as channel:
        call = channel.unary_unary(f"/{oip.SERVICE}/{method}")
        refused(lambda: call(b"\xff\xff\xff"), grpc.StatusCode.INVALID_ARGUMENT, f"no {method}Request")
    assert desk.places == FakeDesk().places


@pytest.mark.parametrize(
    "fault",
    [
        NotReady("gone", "come again"),
        ReplicaFault("failed", "see the log"),
        Poison("ends servers", "do not"),
        Unprocessable("no image", "send one"),
    ],
)
def test_a_fault_of_the_desk_is_raised_for_whoever_serves_the_methods(
    client: Any, desk: FakeDesk, fault: Fault
) -> None:
    desk.fault = fault
    for model, sent in (("ocr", image()), ("ocr.det", pixels())):
        with pytest.raises(InferenceServerException) as caught:
            client.infer(model, [sent])
        assert caught.value.status() == str(fault.code)
        assert caught.value.message() == f"{fault.message}: {fault.remedy}"
    assert desk.places == FakeDesk().places


def test_without_a_replica_or_a_place_no_request_is_taken(client: Any, desk: FakeDesk) -> None:
    desk.places = 0
    with pytest.raises(InferenceServerException, match="RESOURCE_EXHAUSTED"):
        client.infer("ocr", [image()])
    desk.ready = False
    with pytest.raises(InferenceServerException, match="UNAVAILABLE"):
        client.infer("ocr", [image()])
    assert desk.seen == []


def test_a_deadline_of_the_client_reaches_the_desk_and_is_never_above_the_services(
    client: Any, desk: FakeDesk
) -> None:
    client.infer("ocr", [image()], client_timeout=2.0)
    client.infer("ocr", [image()], client_timeout=500.0)
    client.infer("ocr.det", [pixels()])
    # gRPC's own clock may be some milliseconds ahead.
    assert desk.deadlines[0] <= 2.1
    assert all(2.1 < seconds <= desk.options.deadline for seconds in desk.deadlines[1:])


def test_methods_that_there_are_not_are_unimplemented(client: Any) -> None:
    with pytest.raises(InferenceServerException, match="UNIMPLEMENTED"):
        client.get_inference_statistics()


def test_millions_of_empty_fields_are_refused_before_an_object_is_made_of_each(
    shared: tuple[Counter, FakeDesk], desk: FakeDesk
) -> None:
    with grpc.insecure_channel(shared[0].grpc) as channel:
        call = channel.unary_unary(f"/{oip.SERVICE}/{oip.INFER}")
        refused(
            lambda: call(b"\x2a\x00" * 400_000), grpc.StatusCode.INVALID_ARGUMENT, "more than 10000 fields"
        )
    assert desk.places == FakeDesk().places
