from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import LINES, FakeReplica, png
from tests.gateway.harness import Door, options

IMAGE = base64.b64encode(png()).decode()
QUESTION = {"key": ["image"], "value": [IMAGE]}


def post(door: Door, body: Any, path: str = "/ocr/prediction", headers: dict[str, str] | None = None) -> Any:
    """As stock clients do: JSON, and no Content-Type."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return door.ask("POST", path, data, headers)


def test_the_answer_has_every_field_of_the_stock_proxy(door: Door) -> None:
    answer = post(door, QUESTION)
    assert answer.status == 200
    result = json.loads(answer.json["value"][0])
    assert result == {"lines": LINES, "width": 64, "height": 32}
    assert {**answer.json, "value": []} == {
        "err_no": 0,
        "err_msg": "",
        "key": ["result"],
        "value": [],
        "tensors": [],
    }


@pytest.mark.parametrize("logid", [12, "12"])
def test_name_and_method_of_the_body_do_not_count_the_rest_is_passed_on(
    door: Door, replica: FakeReplica, logid: object
) -> None:
    extra = {"name": "other", "method": "else", "logid": logid, "clientip": "10.0.0.1", "unknown": [1]}
    assert post(door, {**QUESTION, **extra}).json["err_no"] == 0
    (request,) = replica.plan.seen
    assert (request.name, request.method) == ("ocr", "prediction")
    assert (request.logid, request.clientip) == (12, "10.0.0.1")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "missing"),
        (b"", "missing"),
        ({"key": ["other"], "value": [IMAGE]}, "missing"),
        ({"key": ["image"]}, "missing"),
        ({"key": ["image"], "value": ["###"]}, "not base64"),
        ({"key": ["image"], "value": ["data:image/png;base64," + IMAGE]}, "data URL"),
    ],
)
def test_a_bad_request_is_200_with_err_no_51_and_never_reaches_the_replica(
    door: Door, replica: FakeReplica, body: Any, message: str
) -> None:
    answer = post(door, body)
    assert (answer.status, answer.json["err_no"]) == (200, 51)
    assert message in answer.json["err_msg"]
    assert (answer.json["key"], answer.json["value"], answer.json["tensors"]) == ([], [], [])
    assert replica.plan.seen == []


def test_another_model_is_200_with_the_number_that_paddle_serving_has_for_it(door: Door) -> None:
    answer = post(door, QUESTION, "/nope/prediction")
    assert (answer.status, answer.json["err_no"]) == (200, 3002)


def test_an_error_number_of_the_replica_is_passed_on(door: Door, replica: FakeReplica) -> None:
    replica.plan.err_no, replica.plan.err_msg = 52, "too many pixels"
    answer = post(door, QUESTION)
    assert (answer.status, answer.json["err_no"], answer.json["err_msg"]) == (200, 52, "too many pixels")


@pytest.mark.parametrize(
    "body", [b"junk", b"[]", b"5", b'"x"', b"null", b"\xff", {"value": [5]}, {"logid": "x"}]
)
def test_a_body_of_the_wrong_shape_is_400_as_the_stock_proxy_says_it(door: Door, body: Any) -> None:
    answer = post(door, body)
    assert answer.status == 400
    assert (answer.json["code"], answer.json["details"]) == (3, [])
    assert answer.json["error"] == answer.json["message"] != ""


def test_failures_of_the_transport_have_real_statuses_and_grpc_codes(
    door: Door, replica: FakeReplica, tmp_path: Path
) -> None:
    large = post(door, {"key": ["image"], "value": ["A" * 200_000]})
    replica.plan.delay = 3.0
    late = post(door, QUESTION, headers={"X-Timeout-Ms": "100"})
    with Door(settings=options(deadline=0.2)) as lonely:
        gone = post(lonely, QUESTION)
    assert [(each.status, each.json["code"]) for each in (large, late, gone)] == [
        (413, 8),
        (504, 4),
        (503, 14),
    ]


def test_tensors_in_an_answer_are_written_as_the_stock_proxy_writes_them() -> None:
    from toolkit.client import protocol
    from toolkit.gateway import legacy

    tensor = protocol.Tensor(name="x", int64_data=[1, 2], float_data=[0.5], byte_data=b"ab")
    # Copied from what the proxy of paddle-serving-server 0.9.0 answered.
    assert legacy.render(protocol.Response(tensors=[tensor]))["tensors"] == [
        {
            "int64_data": ["1", "2"],
            "float_data": [0.5],
            "int_data": [],
            "float64_data": [],
            "uint32_data": [],
            "bool_data": [],
            "complex64_data": [],
            "complex128_data": [],
            "str_data": [],
            "byte_data": "YWI=",
            "elem_type": 0,
            "shape": [],
            "lod": [],
            "name": "x",
        }
    ]
