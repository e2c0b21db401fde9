"""A front door of a pipeline that takes texts, and of one that takes JSON, asked over every protocol."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient import grpc as triton_grpc
from tritonclient import http as triton_http

from tests.fakes import FakeReplica
from tests.gateway.harness import CATALOG, Door, options
from toolkit.client import BadRequest, GrpcClient, HttpClient
from toolkit.content.kinds import FIELDS, Kind
from toolkit.gateway.catalog import Catalog, TensorInfo

TEXT = {"Content-Type": "text/plain"}
JSON = {"Content-Type": "application/json"}
POEM = '春眠不觉晓，\n"处处"闻啼鸟 🐦'
INPUTS = {"ids": [[1, 2, 3]], "note": "é\n", "scale": 0.25, "deep": [{"x": None}, True]}


def catalog(kind: Kind) -> Catalog:
    """With an answer of one text, which is JSON for a pipeline that takes JSON."""
    pipeline, *models = CATALOG.models
    taken = replace(
        pipeline,
        accepts=kind,
        inputs=(TensorInfo(FIELDS[kind], "BYTES", (1,)),),
        outputs=(TensorInfo("got", "BYTES", (1,), "got" if kind == "text" else "got.note"),),
    )
    return Catalog((taken, *models))


def door_of(kind: Kind, folder: Path) -> Iterator[Door]:
    with FakeReplica(folder / "r.sock", kind=kind) as fake:
        settings = options(max_body_bytes=8_000_000, deadline=5.0)
        with Door(fake.target, settings=settings, catalog=catalog(kind)) as running:
            yield running


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    yield from door_of("text", tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    yield from door_of("json", tmp_path_factory.mktemp("json"))


def form(field: str, content: bytes) -> tuple[bytes, dict[str, str]]:
    head = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="a"\r\n\r\n'.encode()
    return head + content + b"\r\n--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"}


def refused(answer: Any, status: int, message: str, remedy: str = "") -> None:
    assert answer.status == status, answer
    error = answer.json["error"]
    assert message in error["message"]
    assert remedy in error["remedy"]
    # Nobody is told to send an image to a pipeline that takes none.
    assert "image" not in answer.text


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (json.dumps({"text": POEM}).encode(), JSON),
        (json.dumps({"text": POEM}, ensure_ascii=False).encode(), JSON),
        (POEM.encode(), TEXT),
        (POEM.encode(), {"Content-Type": 'Text/Plain; charset="UTF-8"'}),
        form("text", POEM.encode()),
    ],
)
def test_a_text_comes_as_json_as_it_is_or_in_a_form(text: Door, body: bytes, headers: dict[str, str]) -> None:
    answer = text.ask("POST", "/predict/ocr", body, headers)
    assert (answer.status, answer.json) == (200, {"got": POEM})


@pytest.mark.parametrize(
    ("body", "headers"),
    [(json.dumps({"inputs": INPUTS}).encode(), JSON), form("inputs", json.dumps(INPUTS).encode())],
)
def test_json_comes_under_inputs_or_in_a_form(values: Door, body: bytes, headers: dict[str, str]) -> None:
    answer = values.ask("POST", "/predict/ocr", body, headers)
    assert (answer.status, answer.json) == (200, {"got": INPUTS})


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (b"", TEXT, "`text` is empty"),
        (b"\xff\xfe", TEXT, "`text` is not UTF-8: invalid start byte at byte 0"),
        (b"", JSON, "the body is not JSON"),
        (b"{", JSON, "the body is not JSON"),
        (b"[]", JSON, "body: Input should be an object"),
        (b"{}", JSON, "text: Field required"),
        (b'{"text": ""}', JSON, "`text` is empty"),
        (b'{"text": 5}', JSON, "text: Input should be a valid string"),
        (b'{"text": null}', JSON, "text: Input should be a valid string"),
        (b'{"text": "\\ud800"}', JSON, "the body is not JSON"),
        (b'{"text": "a", "top": 1}', JSON, "top: Extra inputs"),
        (b'{"picture": "QUJD"}', JSON, "picture: Extra inputs"),
        (*form("picture", b"x"), "no field `text`"),
        (*form("text", b""), "`text` is empty"),
    ],
)
def test_what_is_no_text_is_400(text: Door, body: bytes, headers: dict[str, str], message: str) -> None:
    refused(text.ask("POST", "/predict/ocr", body, headers), 400, message)


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (b'{"inputs": 5}', JSON, "inputs: Input should be an object or an array"),
        (b'{"inputs": "[1]"}', JSON, "inputs: Input should be an object or an array"),
        (b'{"inputs": [NaN]}', JSON, "the body is not JSON"),
        (b'{"inputs": [1e999]}', JSON, "the body has a number beyond those of 64 bits"),
        (b'{"inputs": ' + b"[" * 5000 + b"]" * 5000 + b"}", JSON, "the body is not JSON: recursion"),
        (b'{"inputs": {}, "more": 1}', JSON, "more: Extra inputs"),
        (b"[1]", JSON, "body: Input should be an object"),
        (*form("inputs", b"5"), "neither a JSON object nor an array"),
        (*form("inputs", b'{"a": Infinity}'), "`inputs` is not JSON"),
        (*form("inputs", b'{"a": -1e999}'), "`inputs` has a number beyond those of 64 bits"),
    ],
)
def test_what_is_no_json_is_400(values: Door, body: bytes, headers: dict[str, str], message: str) -> None:
    refused(values.ask("POST", "/predict/ocr", body, headers), 400, message)


@pytest.mark.parametrize(
    "content_type", ["image/png", "application/octet-stream", "text/html", "text/plain; charset=gbk", ""]
)
def test_a_type_that_can_be_no_text_is_415_and_the_remedy_says_what_can(
    text: Door, content_type: str
) -> None:
    remedy = "UTF-8"
    answer = text.ask("POST", "/predict/ocr", b"x", {"Content-Type": content_type})
    assert answer.status == 415
    assert remedy in answer.json["error"]["remedy"]
    assert "image" not in answer.json["error"]["remedy"]


def test_a_text_in_another_charset_is_told_what_a_pipeline_takes_that_takes_no_texts(values: Door) -> None:
    headers = {"Content-Type": "text/plain; charset=gbk"}
    refused(values.ask("POST", "/predict/ocr", b"[1]", headers), 415, "gbk", '{"inputs": {...}}')


def test_a_text_as_it_is_is_no_json(values: Door) -> None:
    refused(values.ask("POST", "/predict/ocr", b"[1]", TEXT), 415, "text/plain", '{"inputs": {...}}')


def test_a_text_may_be_full_of_commas_and_json_of_numbers(text: Door, values: Door) -> None:
    prose = "well, " * 50_000
    assert text.ask("POST", "/predict/ocr", {"text": prose}).json == {"got": prose}
    answer = text.ask("POST", "/ocr/prediction", {"key": ["text"], "value": [prose]})
    assert json.loads(answer.json["value"][0]) == {"got": prose}
    numbers = list(range(200_000))
    assert values.ask("POST", "/predict/ocr", {"inputs": numbers}).json == {"got": numbers}


@pytest.mark.parametrize("path", ["/predict/ocr", "/ocr/prediction"])
def test_millions_of_values_are_refused_before_anybody_else_has_to_wait(text: Door, path: str) -> None:
    began = time.process_time()
    body = b'{"key": [' + b",".join([b"1"] * 3_000_000) + b"]}"
    answer = text.ask("POST", path, body, JSON)
    assert answer.status == 400
    assert "2,000,000 commas" in answer.text
    assert time.process_time() - began < 2


@pytest.mark.parametrize("value", [b"a", b"\\u002c" * 100_000], ids=["a letter", "escaped commas"])
def test_members_beside_the_text_are_few_in_paddle_servings_json(text: Door, value: bytes) -> None:
    more = b",".join([b"{}"] * 100_000)
    body = b'{"key": ["text"], "value": ["' + value + b'"], "tensors": [' + more + b"]}"
    answer = text.ask("POST", "/ocr/prediction", body, JSON)
    assert answer.status == 400
    assert "more than 1,000 values" in answer.json["message"]


def test_a_body_over_the_limit_is_413_in_the_words_of_the_kind(text: Door, values: Door) -> None:
    refused(text.ask("POST", "/predict/ocr", b"a" * 9_000_000, TEXT), 413, "bytes", "send a shorter text")
    refused(values.ask("POST", "/predict/ocr", {"inputs": ["a" * 9_000_000]}), 413, "bytes", "fewer values")


def test_paddle_servings_json_carries_the_text_itself(text: Door, values: Door) -> None:
    answer = text.ask("POST", "/ocr/prediction", {"key": ["text"], "value": [POEM]}).json
    assert (answer["err_no"], json.loads(answer["value"][0])) == (0, {"got": POEM})
    answer = values.ask("POST", "/ocr/prediction", {"key": ["inputs"], "value": [json.dumps(INPUTS)]}).json
    assert (answer["err_no"], json.loads(answer["value"][0])) == (0, {"got": INPUTS})


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        (
            "text",
            {"key": ["image"], "value": ["QUJD"]},
            "the text is missing: send a text in UTF-8 as `text`",
        ),
        ("values", {}, "the inputs are missing"),
        ("text", {"key": ["text"], "value": [""]}, "`text` is empty: send a text"),
        ("values", {"key": ["inputs"], "value": ["{"]}, "`inputs` is not JSON"),
        ("values", {"key": ["inputs"], "value": ["5"]}, "neither a JSON object nor an array"),
    ],
)
def test_paddle_servings_json_without_it_is_error_51(
    request: pytest.FixtureRequest, kind: str, body: Any, message: str
) -> None:
    door: Door = request.getfixturevalue(kind)
    answer = door.ask("POST", "/ocr/prediction", body)
    assert (answer.status, answer.json["err_no"]) == (200, 51)
    assert message in answer.json["err_msg"]


def test_the_remedy_for_a_malformed_request_of_paddle_serving_names_the_field(text: Door) -> None:
    answer = text.ask("POST", "/ocr/prediction", b"[]")
    assert '{"key": ["text"], "value": ["..."]}' in answer.json["message"]


@pytest.mark.parametrize("way", ["http", "grpc"])
def test_the_client_has_a_call_for_each_kind(text: Door, values: Door, way: str) -> None:
    for door, ask, content in ((text, "predict_text", POEM), (values, "predict_json", INPUTS)):
        with HttpClient(door.url) if way == "http" else GrpcClient(door.target) as client:
            assert getattr(client, ask)("ocr", content).raw == {"got": content}
            with pytest.raises(BadRequest):
                client.predict("ocr", b"an image")
    with HttpClient(text.url) if way == "http" else GrpcClient(text.target) as client:
        with pytest.raises(BadRequest, match="empty"):
            client.predict_text("ocr", "")
        with pytest.raises(ValueError, match="JSON"):
            client.predict_json("ocr", [float("nan")])


@pytest.mark.parametrize("binary", [True, False])
def test_the_open_inference_protocol_has_a_tensor_of_that_name(
    text: Door, values: Door, binary: bool
) -> None:
    for door, name, content, got in (
        (text, "text", POEM, POEM),
        (values, "inputs", json.dumps(INPUTS), INPUTS["note"]),
    ):
        item = triton_http.InferInput(name, [1], "BYTES")
        item.set_data_from_numpy(np.array([content.encode()], object), binary_data=binary)
        with triton_http.InferenceServerClient(door.url.removeprefix("http://")) as client:
            assert client.get_model_metadata("ocr")["inputs"] == [
                {"name": name, "datatype": "BYTES", "shape": [1]}
            ]
            assert client.infer("ocr", [item]).as_numpy("got").tolist() == [str(got).encode()]
        item = triton_grpc.InferInput(name, [1], "BYTES")
        item.set_data_from_numpy(np.array([content.encode()], object))
        with triton_grpc.InferenceServerClient(door.target) as client:
            assert client.infer("ocr", [item]).as_numpy("got").tolist() == [str(got).encode()]


def test_a_tensor_that_is_no_text_is_refused(text: Door, values: Door) -> None:
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": [""]}
    answer = text.ask("POST", "/v2/models/ocr/infer", {"inputs": [tensor]})
    assert (answer.status, "`text` is empty" in answer.json["error"]) == (400, True)
    answer = values.ask(
        "POST", "/v2/models/ocr/infer", {"inputs": [{**tensor, "name": "inputs", "data": ["5"]}]}
    )
    assert (answer.status, "neither a JSON object" in answer.json["error"]) == (400, True)


def test_the_api_is_described_with_what_the_pipeline_takes(text: Door, values: Door) -> None:
    for door, field, kind in ((text, "text", "One text"), (values, "inputs", "One JSON")):
        assert door.ask("GET", "/").json["accepts"] == catalog_kind(door)
        for path in ("/openapi.json", "/docs/openapi.json"):
            paths = door.ask("GET", path).json["paths"]
            operation = paths["/predict/{model}"]["post"]
            assert operation["summary"].startswith(kind)
            assert operation["requestBody"]["content"]["application/json"]["schema"]["required"] == [field]
            assert "image" not in json.dumps(operation)
            legacy = paths["/{model}/prediction"]["post"]["requestBody"]["content"]["application/json"][
                "schema"
            ]
            assert legacy["properties"]["key"]["example"] == [field]


def catalog_kind(door: Door) -> str:
    return door.desk.catalog.pipeline.accepts
