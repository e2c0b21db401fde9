"""Several pipelines behind the same ports, each under its name in every protocol."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.fakes import LINES, FakeReplica, png
from tests.gateway.harness import CATALOG, Door, options
from toolkit.client import GrpcClient, HttpClient, protocol
from toolkit.gateway.catalog import Catalog, ModelInfo, TensorInfo
from toolkit.gateway.endpoint import Endpoint
from toolkit.gateway.faults import NotReady, UnknownModel
from toolkit.gateway.lobby import Lobby
from toolkit.gateway.office import Office
from toolkit.gateway.pool import Pool
from toolkit.oip import messages, wire

IMAGE = base64.b64encode(png()).decode()

WORDS = Catalog(
    (
        ModelInfo(
            "words",
            "pipeline",
            (TensorInfo("text", "BYTES", (1,)),),
            (TensorInfo("got", "BYTES", (1,), "got"),),
            accepts="text",
        ),
        ModelInfo("words.net", "model", (TensorInfo("x", "FP32", (-1,)),), (TensorInfo("y", "FP32", (-1,)),)),
    ),
    release="words-1",
)
SMALL = {"max_body_bytes": 300}

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class Scene:
    """A front door of `ocr`, and of `words`, which takes little texts.

    Attributes:
        ready: whether the replica of `words` is.
    """

    def __init__(self, door: Door, words: FakeReplica) -> None:
        self.door, self.words, self.ready = door, words, True
        self.endpoint: Endpoint | None = None
        door.call(self._enter)

    def _enter(self) -> None:
        pool = Pool(4)
        self.endpoint = Endpoint(7, self.words.target)
        pool.add(self.endpoint)
        self.office: Office = self.door.gateway.enter("words")
        self.office.shift(self.office.open(options(**SMALL), WORDS, pool, 4, lambda: self.ready))


@pytest.fixture
def scene(replica: FakeReplica, tmp_path: Path) -> Iterator[Scene]:
    with FakeReplica(tmp_path / "words.sock", "words", "text") as words, Door(replica.target) as door:
        made = Scene(door, words)
        yield made
        assert made.endpoint is not None
        door.run(made.endpoint.close())


def test_each_is_asked_by_its_name_in_every_protocol(scene: Scene, replica: FakeReplica) -> None:
    door, text = scene.door, {"text": "hello"}
    with HttpClient(door.url) as client, GrpcClient(door.target) as rpc:
        assert client.predict("ocr", png()).lines[0].text == LINES[0]["text"]
        assert rpc.predict("ocr", png()).lines[0].text == LINES[0]["text"]
        assert rpc.predict_text("words", "hello").raw == {"got": "hello"}
    assert door.ask("POST", "/predict/words", text).json == {"got": "hello"}
    legacy = door.ask("POST", "/words/prediction", {"key": ["text"], "value": ["hello"]}).json
    assert json.loads(legacy["value"][0]) == {"got": "hello"}
    inputs = [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["hello"]}]
    answer = door.ask("POST", "/v2/models/words/infer", {"inputs": inputs}).json
    assert answer["outputs"][0]["data"] == ["hello"]
    assert door.ask("GET", "/v2/models/words.net").json["name"] == "words.net"
    with triton.InferenceServerClient(door.target) as oip:
        assert oip.is_model_ready("words")
        assert oip.get_model_metadata("ocr.det").platform == "paddle_inference"
    assert {request.name for request in replica.plan.seen} == {"ocr"}
    assert {request.name for request in scene.words.plan.seen} == {"words"}


def test_a_name_that_none_has_is_refused_with_those_that_there_are(scene: Scene) -> None:
    told = "ask for one of 'ocr', 'words'"
    door = scene.door
    answer = door.ask("POST", "/predict/nope", {"image": IMAGE})
    assert (answer.status, answer.json["error"]["remedy"]) == (404, told)
    assert door.ask("GET", "/v2/models/nope.net").json["error"].endswith(told)
    legacy = door.ask("POST", "/nope/prediction", {"key": ["image"], "value": [IMAGE]}).json
    assert (legacy["err_no"], told in legacy["err_msg"]) == (protocol.NO_SERVICE, True)
    with grpc.insecure_channel(door.target) as channel:
        inference = channel.unary_unary(protocol.PATH)
        refused = protocol.Response.FromString(inference(protocol.pack_text("nope", IMAGE)))
    assert (refused.err_no, told in refused.err_msg) == (protocol.NO_SERVICE, True)
    assert (
        'serving_requests_total{code="404",pipeline="",protocol="http"} 1.0'
        in door.ask("GET", "/metrics").text
    )


def test_paddles_own_client_which_sends_no_name_gets_the_one_that_was_first(scene: Scene) -> None:
    with grpc.insecure_channel(scene.door.target) as channel:
        request = protocol.Request(key=["image"], value=[IMAGE]).SerializeToString()
        answer = protocol.Response.FromString(channel.unary_unary(protocol.PATH)(request))
    assert json.loads(answer.value[0])["lines"] == LINES


def test_each_keeps_to_its_own_limits_over_grpc_too(scene: Scene) -> None:
    with grpc.insecure_channel(scene.door.target) as channel:
        inference = channel.unary_unary(protocol.PATH)
        inference(protocol.pack_text("ocr", base64.b64encode(png(2000)).decode()))
        with pytest.raises(grpc.RpcError) as caught:
            inference(protocol.pack_text("words", "x" * 400, "text"))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "at most 300 are taken" in error.details()


def test_the_service_is_ready_when_all_are_and_each_for_itself(scene: Scene) -> None:
    door = scene.door
    with grpc.insecure_channel(door.target) as channel:

        def told() -> list[int | None]:
            return [_health(channel, name) for name in ("", "ocr", "words")]

        _wait(lambda: told() == [SERVING] * 3)
        scene.ready = False
        _wait(lambda: told() == [NOT_SERVING, SERVING, NOT_SERVING])
    found = {
        path: door.ask("GET", path).status for path in ("/readyz", "/readyz?model=ocr", "/readyz?model=words")
    }
    assert found == {"/readyz": 503, "/readyz?model=ocr": 200, "/readyz?model=words": 503}
    assert door.ask("GET", "/v2/models/ocr/ready").status == 200
    assert door.ask("GET", "/v2/health/ready").status == 503
    assert door.ask("POST", "/predict/ocr", {"image": IMAGE}).status == 200


def _health(channel: grpc.Channel, service: str) -> int | None:
    """None: the service is not known, or not yet."""
    try:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
        return int(answer.status)
    except grpc.RpcError:
        return None


def _wait(true: Any) -> None:
    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_one_that_has_left_is_not_known_and_the_other_is(scene: Scene) -> None:
    door = scene.door
    with grpc.insecure_channel(door.target) as channel:
        _wait(lambda: _health(channel, "words") == SERVING)
        door.call(lambda: door.gateway.leave("words"))
        _wait(lambda: _health(channel, "words") == NOT_SERVING)
    assert door.ask("POST", "/predict/words", {"text": "hello"}).status == 404
    assert door.ask("GET", "/readyz").status == 200
    assert door.ask("GET", "/").json["models"] == ["ocr", "ocr.det"]
    door.call(lambda: door.gateway.forget("words"))
    assert 'pipeline="words"' not in door.ask("GET", "/metrics").text


def test_a_request_to_one_that_leaves_meanwhile_is_answered_and_counted_as_its(scene: Scene) -> None:
    door, scene.words.plan.delay = scene.door, 0.5
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(door.ask, "POST", "/predict/words", {"text": "hello"})
        _wait(lambda: scene.words.plan.seen)
        door.call(lambda: door.gateway.leave("words"))
        assert asked.result(10).status == 200
    text = door.ask("GET", "/metrics").text
    assert 'serving_requests_total{code="200",pipeline="words",protocol="http"} 1.0' in text
    assert 'serving_requests_total{code="200",pipeline="",protocol="http"} 0.0' in text


def test_the_index_and_the_description_tell_of_all(scene: Scene) -> None:
    index = scene.door.ask("GET", "/").json
    assert index["pipelines"] == [
        {"name": "ocr", "accepts": "image", "limits": {"max_body_bytes": 16777216}},
        {"name": "words", "accepts": "text", "limits": {"max_body_bytes": 300}},
    ]
    assert (index["accepts"], index["models"]) == ("image", ["ocr", "ocr.det", "words", "words.net"])
    post = scene.door.ask("GET", "/openapi.json").json["paths"]["/predict/{model}"]["post"]
    bodies = post["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert [set(body["properties"]) for body in bodies] == [{"image"}, {"text"}]


def test_requests_are_counted_and_logged_as_those_of_their_pipeline(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "toolkit.access"):
        scene.door.ask("POST", "/predict/words", {"text": "hello"})
        scene.door.ask("POST", "/predict/ocr", {"image": IMAGE})
        text = scene.door.ask("GET", "/metrics").text
    for name in ("words", "ocr"):
        assert f'serving_requests_total{{code="200",pipeline="{name}",protocol="http"}} 1.0' in text
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "toolkit.access"]
    told = {line["path"]: (line.get("pipeline"), line.get("release")) for line in lines}
    assert told["/predict/words"] == ("words", "words-1")
    assert told["/predict/ocr"] == ("ocr", None)


def test_an_empty_lobby_is_starting_and_not_ready() -> None:
    lobby = Lobby()
    assert (lobby.ready, lobby.names) == (False, [])
    lobby.open("ocr")
    with pytest.raises(NotReady):
        lobby.of("ocr")
    lobby.open("cls").shift(_desk("cls"))
    with pytest.raises(UnknownModel):
        lobby.of("ocr")
    assert lobby.of("cls.net") is lobby.of("cls") is lobby.of("")


def _desk(name: str) -> Any:
    class Desk:
        ready = True
        catalog = Catalog((replace(CATALOG.pipeline, name=name),))

    return Desk()


@pytest.mark.parametrize("before", [0, 3, 900])
def test_a_name_is_found_before_the_message_is_parsed(before: int) -> None:
    request = protocol.Request(key=["k"] * before, name="ocr").SerializeToString()
    assert wire.text(request, protocol.NAME) == "ocr"
    assert wire.text(messages.ModelInferRequest(model_name="文").SerializeToString(), 1) == "文"


@pytest.mark.parametrize("damaged", [b"", b"\xff", b"\x22", b"\x22" + b"\xff" * 10, b"\x22\x02\xff"])
def test_of_what_is_no_message_there_is_some_name_or_none(damaged: bytes) -> None:
    assert wire.text(damaged, protocol.NAME) in ("", "\ufffd")


def test_a_name_behind_a_million_fields_is_not_looked_for() -> None:
    assert wire.text(b"\x0a\x00" * 1_000_000 + b"\x22\x03ocr", protocol.NAME) == ""
