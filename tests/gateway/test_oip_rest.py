from __future__ import annotations

import base64
import gzip
import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

from tests.fakes import LINES, png
from tests.gateway.desk import MODEL, PIPELINE, Answer, Counter, FakeDesk
from toolkit.gateway.faults import Fault, NotReady, Poison, ReplicaFault, Unprocessable
from toolkit.oip import codec, messages

BOXES = np.array([line["box"] for line in LINES], np.float32)
IMAGE = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(png()).decode()]}
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
def counter(shared: tuple[Counter, FakeDesk], desk: FakeDesk) -> Counter:
    return shared[0]


@pytest.fixture
def client(counter: Counter) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(counter.http) as connected:
        yield connected


def ask(
    counter: Counter, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> Answer:
    connection = http.client.HTTPConnection(counter.http, timeout=20)
    try:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, data, headers or {})
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, fields, response.read().decode())
    finally:
        connection.close()


def refused(answer: Answer, status: int, message: str) -> None:
    """An error in the shape of the protocol."""
    assert answer.status == status, answer
    assert list(answer.json) == ["error"]
    assert message in answer.json["error"]


def image(data: bytes = b"", binary: bool = True) -> Any:
    content = data or png()
    item = triton.InferInput("image", [1], "BYTES")
    item.set_data_from_numpy(np.array([content], object), binary_data=binary)
    return item


def pixels(array: Any = PIXELS, binary: bool = True) -> Any:
    item = triton.InferInput("image", list(array.shape), "FP32")
    item.set_data_from_numpy(array, binary_data=binary)
    return item


def test_server_and_models_are_live_and_ready(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("ocr")
    assert client.is_model_ready("ocr.det", "1")
    assert not client.is_model_ready("ocr.nope")
    assert not client.is_model_ready("ocr", "2")


def test_without_a_replica_the_server_is_live_and_nothing_is_ready(
    counter: Counter, client: Any, desk: FakeDesk
) -> None:
    desk.ready = False
    assert client.is_server_live()
    assert not client.is_server_ready()
    assert not client.is_model_ready("ocr")
    answer = ask(counter, "GET", "/v2/health/ready")
    assert (answer.status, answer.json, answer.headers["retry-after"]) == (503, {"ready": False}, "1")
    answer = ask(counter, "GET", "/v2/models/ocr/ready")
    assert (answer.status, answer.json) == (503, {"name": "ocr", "ready": False})
    with pytest.raises(InferenceServerException) as caught:
        client.infer("ocr", [image()])
    assert caught.value.status() == "503"


def test_metadata_tells_what_the_server_can_and_what_the_models_take(client: Any) -> None:
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    for info in (PIPELINE, MODEL):
        found = client.get_model_metadata(info.name)
        assert found == client.get_model_metadata(info.name, "1")
        assert (found["name"], found["versions"]) == (info.name, ["1"])
        for key, tensors in (("inputs", info.inputs), ("outputs", info.outputs)):
            assert found[key] == [
                {"name": item.name, "datatype": item.datatype, "shape": list(item.shape)} for item in tensors
            ]


@pytest.mark.parametrize("binary", [True, False])
def test_an_image_is_answered_with_its_lines_as_tensors(client: Any, desk: FakeDesk, binary: bool) -> None:
    outputs = [
        triton.InferRequestedOutput(item.name, binary_data=binary) for item in reversed(PIPELINE.outputs)
    ]
    result = client.infer("ocr", [image()], outputs=outputs, request_id="abc")
    texts = result.as_numpy("text").tolist()
    assert [item.decode() if binary else item for item in texts] == [line["text"] for line in LINES]
    assert result.as_numpy("score") == pytest.approx([line["score"] for line in LINES])
    assert np.array_equal(result.as_numpy("box"), BOXES)
    assert result.as_numpy("width").tolist() == [64]
    assert result.as_numpy("width").dtype == np.int64
    assert (result.get_response()["id"], result.get_response()["model_version"]) == ("abc", "1")
    assert [item["name"] for item in result.get_response()["outputs"]] == [item.name() for item in outputs]
    assert desk.seen[0] == png()


def test_without_a_choice_all_outputs_come_as_binary_data(client: Any) -> None:
    result = client.infer("ocr", [image()])
    assert [item["name"] for item in result.get_response()["outputs"]] == [
        item.name for item in PIPELINE.outputs
    ]
    assert all("binary_data_size" in item["parameters"] for item in result.get_response()["outputs"])


def test_the_image_in_json_is_base64_since_json_carries_no_bytes(counter: Counter, desk: FakeDesk) -> None:
    answer = ask(counter, "POST", "/v2/models/ocr/infer", {"inputs": [IMAGE]})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert "inference-header-content-length" not in answer.headers
    outputs = {item["name"]: item for item in answer.json["outputs"]}
    assert outputs["text"]["data"] == [line["text"] for line in LINES]
    assert outputs["box"]["shape"] == [2, 4, 2]
    assert outputs["box"]["data"] == BOXES.ravel().tolist()
    assert desk.seen == [png()]


def test_the_image_as_triton_puts_text_into_json_is_base64_too(client: Any) -> None:
    result = client.infer("ocr", [image(base64.b64encode(png()), binary=False)])
    assert result.as_numpy("height").tolist() == [32]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("###", "not base64"),
        ("", "missing"),
        ("data:image/png;base64,QUJD", "data URL"),
        ("中", "not base64"),
    ],
)
def test_text_that_is_no_base64_is_refused_before_the_replica(
    counter: Counter, desk: FakeDesk, data: str, message: str
) -> None:
    answer = ask(counter, "POST", "/v2/models/ocr/infer", {"inputs": [{**IMAGE, "data": [data]}]})
    refused(answer, 400, message)
    assert desk.seen == []


def test_a_page_without_lines_is_tensors_of_no_rows(client: Any, desk: FakeDesk) -> None:
    desk.answer = json.dumps({"lines": [], "width": 1, "height": 1})
    for binary in (True, False):
        outputs = [triton.InferRequestedOutput(item.name, binary_data=binary) for item in PIPELINE.outputs]
        result = client.infer("ocr", [image()], outputs=outputs)
        assert result.as_numpy("text").shape == (0,)
        assert result.as_numpy("box").shape == (0, 4, 2)
        assert result.as_numpy("width").tolist() == [1]


@pytest.mark.parametrize("answer", ["", "[]", '{"lines": 5}', '{"lines": [{"text": 1}], "width": 1}'])
def test_an_answer_that_is_not_as_the_catalog_says_is_500(
    counter: Counter, desk: FakeDesk, answer: str
) -> None:
    desk.answer = answer or "{"
    refused(ask(counter, "POST", "/v2/models/ocr/infer", {"inputs": [IMAGE]}), 500, "catalog")


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
def test_a_single_model_answers_tensors_with_tensors(client: Any, sent: bool, wanted: bool) -> None:
    outputs = [triton.InferRequestedOutput(name, binary_data=wanted) for name in ("classes", "probability")]
    result = client.infer("ocr.det", [pixels(binary=sent)], "1", outputs, request_id="9")
    assert np.array_equal(result.as_numpy("probability"), PIXELS.mean(axis=1, keepdims=True))
    assert result.as_numpy("classes").tolist() == [0]
    assert result.get_response()["id"] == "9"


def test_a_model_gets_the_numbers_whatever_form_they_came_in(client: Any, desk: FakeDesk) -> None:
    client.infer("ocr.det", [pixels(binary=True)])
    client.infer("ocr.det", [pixels(binary=False)])
    requests = [messages.ModelInferRequest.FromString(item) for item in desk.seen]
    assert all(np.array_equal(codec.inputs(item)["image"], PIXELS) for item in requests)
    assert all(item.model_name == "ocr.det" for item in requests)


def test_only_the_outputs_that_are_asked_for_are_answered(client: Any) -> None:
    for model, sent, name in (("ocr", image(), "score"), ("ocr.det", pixels(), "classes")):
        result = client.infer(model, [sent], outputs=[triton.InferRequestedOutput(name)])
        assert [item["name"] for item in result.get_response()["outputs"]] == [name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "picture"}, "ocr.det has no input 'picture'; it has image"),
        ({"datatype": "INT32"}, "input 'image': it is FP32, not INT32"),
        ({"shape": [3, 2, 4]}, "the shape is [3, 2, 4], not like [-1, 3, -1, -1]"),
        ({"shape": [1, 1, 2, 12]}, "not like [-1, 3, -1, -1]"),
        ({"shape": [0, 3, 2, 4], "data": []}, "not like [-1, 3, -1, -1]"),
        ({"shape": [1, 3, 2, 5]}, "has 30 elements, the data 24"),
        ({"shape": [1, 3, -2, -4]}, "negative"),
        ({"data": [[1]]}, "not nested as the shape"),
    ],
)
def test_a_tensor_that_the_model_does_not_take_is_refused_before_the_replica(
    counter: Counter, desk: FakeDesk, change: dict[str, Any], message: str
) -> None:
    item = {"name": "image", "datatype": "FP32", "shape": [1, 3, 2, 4], "data": list(range(24)), **change}
    refused(ask(counter, "POST", "/v2/models/ocr.det/infer", {"inputs": [item]}), 400, message)
    assert desk.seen == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        ({}, "no inputs"),
        ({"inputs": [IMAGE, IMAGE]}, "'image' is there twice"),
        ({"inputs": [{**IMAGE, "shape": [2], "data": ["QUJD"] * 2}]}, "the shape is [2], not like [1]"),
        ({"inputs": [{**IMAGE, "shape": [0], "data": []}]}, "the shape is [0], not like [1]"),
        ({"inputs": [IMAGE], "outputs": [{"name": "boxes"}]}, "no output 'boxes'; it has text, score, box"),
        ({"inputs": [{**IMAGE, "name": "n" * 100_000}]}, "has no input 'nnn"),
    ],
)
def test_a_request_that_is_none_is_400_and_says_where_to_look(
    counter: Counter, desk: FakeDesk, body: Any, message: str
) -> None:
    answer = ask(counter, "POST", "/v2/models/ocr/infer", body)
    refused(answer, 400, message)
    assert "the metadata of ocr has the names" in answer.json["error"]
    assert len(answer.json["error"]) < 500
    assert desk.seen == []


def test_an_unknown_model_or_version_is_404(counter: Counter, client: Any) -> None:
    for path in ("ocr.nope", "ocr.nope/infer", "ocr/versions/2/ready", "ocr/versions/2/infer"):
        method = "POST" if path.endswith("infer") else "GET"
        refused(ask(counter, method, f"/v2/models/{path}", {"inputs": [IMAGE]}), 404, "ask for")
    with pytest.raises(InferenceServerException, match="no model 'nope' here: ask for 'ocr'"):
        client.infer("nope", [image()])


def test_what_there_is_not_is_told_in_the_shape_of_the_protocol(counter: Counter, client: Any) -> None:
    refused(ask(counter, "GET", "/v2/models/ocr/config"), 404, "nothing at this path")
    answer = ask(counter, "GET", "/v2/models/ocr/infer")
    refused(answer, 405, "GET is not for this path, POST is")
    assert answer.headers["allow"] == "POST"
    with pytest.raises(InferenceServerException, match="nothing at this path"):
        client.get_inference_statistics("ocr")


@pytest.mark.parametrize(
    "fault",
    [
        NotReady("gone", "come again"),
        ReplicaFault("failed", "see the log"),
        Poison("ends servers", "do not"),
        Unprocessable("no image", "send one"),
    ],
)
@pytest.mark.parametrize("model", ["ocr", "ocr.det"])
def test_a_fault_has_its_status_its_headers_and_the_shape_of_the_protocol(
    client: Any, counter: Counter, desk: FakeDesk, fault: Fault, model: str
) -> None:
    desk.fault = fault
    sent = image() if model == "ocr" else pixels()
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, [sent])
    assert caught.value.status() == str(fault.status)
    assert caught.value.message() == f"{fault.message}: {fault.remedy}"
    if model == "ocr":
        answer = ask(counter, "POST", "/v2/models/ocr/infer", {"inputs": [IMAGE]})
        assert {key.lower(): value for key, value in fault.headers.items()}.items() <= answer.headers.items()


def test_a_bug_is_500_in_the_shape_of_the_protocol_without_its_text(counter: Counter, desk: FakeDesk) -> None:
    desk.fault = RuntimeError("secret")
    answer = ask(counter, "POST", "/v2/models/ocr/infer", {"inputs": [IMAGE]})
    refused(answer, 500, "see the log")
    assert "secret" not in answer.text


def test_no_free_place_is_429_before_the_body_is_read(counter: Counter, desk: FakeDesk) -> None:
    desk.places = 0
    answer = ask(counter, "POST", "/v2/models/ocr/infer", {"inputs": [IMAGE]})
    refused(answer, 429, "too many requests")
    assert answer.headers["retry-after"] == "7"


def test_every_place_is_free_again_after_errors(counter: Counter, desk: FakeDesk) -> None:
    for body in (b"{", {"inputs": [IMAGE]}, b"x" * 2_000_000):
        ask(counter, "POST", "/v2/models/ocr/infer", body)
    assert desk.places == FakeDesk().places


def test_a_body_over_the_limit_is_413(counter: Counter) -> None:
    refused(ask(counter, "POST", "/v2/models/ocr/infer", b"x" * 1_000_001), 413, "1000000 bytes")


def test_a_compressed_body_is_415_and_is_not_unpacked(counter: Counter, client: Any) -> None:
    body = gzip.compress(json.dumps({"inputs": [IMAGE]}).encode())
    answer = ask(counter, "POST", "/v2/models/ocr/infer", body, {"Content-Encoding": "gzip"})
    refused(answer, 415, "compressed")
    with pytest.raises(InferenceServerException, match="compressed"):
        client.infer("ocr", [image()], request_compression_algorithm="deflate")


def test_a_deadline_of_the_client_counts_and_its_excess_is_504(counter: Counter, desk: FakeDesk) -> None:
    desk.delay = 4.0
    began = time.monotonic()
    headers = {"X-Timeout-Ms": "200"}
    refused(ask(counter, "POST", "/v2/models/ocr/infer", {"inputs": [IMAGE]}, headers), 504, "deadline")
    assert time.monotonic() - began < 2
    assert desk.deadlines[0] <= 0.2
    headers = {"X-Timeout-Ms": "soon"}
    refused(ask(counter, "POST", "/v2/models/ocr/infer", {"inputs": [IMAGE]}, headers), 400, "X-Timeout-Ms")


def test_a_client_that_goes_away_leaves_its_place(counter: Counter, desk: FakeDesk) -> None:
    desk.delay = 4.0
    connection = http.client.HTTPConnection(counter.http, timeout=20)
    connection.request("POST", "/v2/models/ocr/infer", json.dumps({"inputs": [IMAGE]}))
    wait_for(lambda: desk.seen)
    assert desk.places < FakeDesk().places
    connection.close()
    wait_for(lambda: desk.places == FakeDesk().places)


def wait_for(condition: Any, seconds: float = 2.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_requests_side_by_side_get_their_own_answers(counter: Counter) -> None:
    results: dict[int, Any] = {}

    def work(number: int) -> None:
        array = np.full((1, 3, 1, 1), number, np.float32)
        with triton.InferenceServerClient(counter.http) as connected:
            results[number] = connected.infer("ocr.det", [pixels(array)]).as_numpy("probability").item()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert results == {number: float(number) for number in range(4)}


def test_the_openapi_document_has_every_route_and_no_reference_that_leads_nowhere(counter: Counter) -> None:
    text = ask(counter, "GET", "/openapi.json").text
    document = json.loads(text)
    assert {path for path in document["paths"] if path.endswith("/infer")} == {
        "/v2/models/{model}/infer",
        "/v2/models/{model}/versions/{version}/infer",
    }
    assert "/v2/{path}" not in document["paths"]
    for part in text.split('"$ref":"#/components/schemas/')[1:]:
        assert part.partition('"')[0] in document["components"]["schemas"]
    assert '"#/$defs' not in text
