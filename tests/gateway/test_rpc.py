from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.contract import check_replica
from tests.fakes import LINES, FakeReplica, png
from tests.gateway.harness import Door, options
from toolkit.client import protocol

QUESTION = protocol.Request(name="ocr", key=["image"], value=[base64.b64encode(png()).decode()])


@contextmanager
def asking(target: str) -> Iterator[Any]:
    with grpc.insecure_channel(target, options=(("grpc.max_receive_message_length", -1),)) as channel:
        yield channel.unary_unary(
            protocol.PATH,
            request_serializer=protocol.Request.SerializeToString,
            response_deserializer=protocol.Response.FromString,
        )


def refused(target: str, request: Any = QUESTION, timeout: float = 10.0) -> tuple[grpc.StatusCode, str]:
    with asking(target) as inference, pytest.raises(grpc.RpcError) as caught:
        inference(request, timeout=timeout)
    error: Any = caught.value
    return error.code(), error.details()


def test_behind_the_front_door_the_replica_keeps_its_whole_contract(replica: FakeReplica) -> None:
    with Door(replica.target) as door:
        check_replica(door.target)


def test_the_stock_client_of_paddle_serving_works_unchanged(door: Door) -> None:
    program = f"""
import json
from paddle_serving_server.pipeline.pipeline_client import PipelineClient
client = PipelineClient()
client.connect(["{door.target}"])
answer = client.predict(feed_dict={{"image": "{QUESTION.value[0]}", "clientip": "127.0.0.1"}}, fetch=["result"])
print("ANSWER", json.dumps([answer.err_no, list(answer.key), json.loads(answer.value[0])]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("ANSWER "))
    assert json.loads(line[len("ANSWER ") :]) == [0, ["result"], {"lines": LINES, "width": 64, "height": 32}]


def test_a_request_over_the_limit_is_resource_exhausted(door: Door, replica: FakeReplica) -> None:
    code, details = refused(door.target, protocol.Request(key=["image"], value=["A" * 200_000]))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in details
    assert replica.plan.seen == []


def test_an_answer_of_more_than_four_megabytes_arrives_whole(door: Door, replica: FakeReplica) -> None:
    replica.plan.lines = [{**LINES[0], "text": "A" * 5_000_000}]
    with asking(door.target) as inference:
        assert len(inference(QUESTION, timeout=10).value[0]) > 5_000_000


def test_a_deadline_of_the_client_holds(door: Door, replica: FakeReplica) -> None:
    replica.plan.delay = 1.0
    assert refused(door.target, timeout=0.2)[0] is grpc.StatusCode.DEADLINE_EXCEEDED


def test_the_deadline_of_the_service_holds_for_clients_without_one(replica: FakeReplica) -> None:
    replica.plan.delay = 4.0
    with Door(replica.target, settings=options(deadline=0.2)) as door:
        assert refused(door.target)[0] is grpc.StatusCode.DEADLINE_EXCEEDED


def test_http_and_grpc_share_one_limit_of_requests_under_way(replica: FakeReplica) -> None:
    replica.plan.delay = 1.0
    with Door(replica.target, settings=options(queue=0), depth=1) as door:
        body = {"image": QUESTION.value[0]}
        thread = threading.Thread(target=door.ask, args=("POST", "/predict/ocr", body))
        thread.start()
        assert replica.plan.arrived.wait(5)
        code, details = refused(door.target)
        thread.join()
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "under way" in details


def test_while_the_supervisor_says_no_the_code_is_unavailable(replica: FakeReplica) -> None:
    with Door(replica.target, is_ready=lambda: False) as door:
        assert refused(door.target)[0] is grpc.StatusCode.UNAVAILABLE
    assert replica.plan.seen == []


def test_without_a_replica_the_code_is_unavailable_at_the_deadline() -> None:
    with Door(settings=options(deadline=0.2)) as door:
        assert refused(door.target)[0] is grpc.StatusCode.UNAVAILABLE


def test_a_crash_of_the_replica_is_internal(door: Door, replica: FakeReplica) -> None:
    replica.plan.crash = True
    assert refused(door.target)[0] is grpc.StatusCode.INTERNAL


def test_a_call_that_is_refused_for_its_key_is_counted_as_a_request(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("mobile:0123456789abcdef0123456789abcdef\n")
    keys.chmod(0o600)
    with Door(settings=options(keys_file=keys)) as door:
        assert refused(door.target)[0] is grpc.StatusCode.UNAUTHENTICATED
        found = door.ask("GET", "/metrics", headers={"X-API-Key": "0123456789abcdef0123456789abcdef"}).text
    assert 'serving_requests_total{code="UNAUTHENTICATED",pipeline="",protocol="paddle_grpc"} 1.0' in found
