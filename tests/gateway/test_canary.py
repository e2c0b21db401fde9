"""A canary gets an exact share of the requests, and what it fails costs clients time, never the answer."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import LINES, NEWER, FakeReplica, png
from tests.gateway.harness import Door, options
from toolkit.client import GrpcClient, protocol
from toolkit.gateway import access
from toolkit.gateway.frontdesk import FrontDesk
from toolkit.gateway.pool import Pool

IMAGE = base64.b64encode(png()).decode()


@pytest.fixture
def door(replica: FakeReplica) -> Iterator[Door]:
    with Door(replica.target, settings=options(deadline=5.0)) as running:
        yield running


def split(door: Door, desk: FrontDesk | None, percent: float = 100) -> None:
    door.call(lambda: door.office.split(desk, percent))


def predict(door: Door, **headers: str) -> Any:
    return door.ask("POST", "/predict/ocr", {"image": IMAGE}, headers)


def counts(desk: FrontDesk) -> tuple[int, int]:
    return desk.outcomes.requests, desk.outcomes.failed


def test_exactly_that_share_of_the_requests_goes_to_the_canary_and_none_when_it_ends(
    door: Door, newer: FakeReplica
) -> None:
    canary = door.beside(newer.target)
    split(door, canary, 25)
    got = []
    for _ in range(20):
        got.append(predict(door).json["lines"] == NEWER)
        # Requests about the service itself are nobody's share.
        assert door.ask("GET", "/readyz").status == door.ask("GET", "/").status == 200
    assert got == [False, False, False, True] * 5
    split(door, None)
    assert all(predict(door).json["lines"] == LINES for _ in range(4))
    assert counts(canary) == (5, 0)
    assert counts(door.desk) == (19, 0)


def test_every_protocol_is_split(door: Door, newer: FakeReplica) -> None:
    canary = door.beside(newer.target)
    split(door, canary)
    with GrpcClient(door.target) as client:
        assert client.predict("ocr", png()).raw["lines"] == NEWER
    legacy = door.ask("POST", "/ocr/prediction", {"key": ["image"], "value": [IMAGE]})
    assert json.loads(legacy.json["value"][0])["lines"] == NEWER
    body = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [IMAGE]}]}
    assert "newer" in door.ask("POST", "/v2/models/ocr/infer", body).text
    assert counts(canary) == (3, 0)


def test_a_shift_ends_the_split(door: Door, newer: FakeReplica) -> None:
    split(door, door.beside(newer.target), 100)
    door.call(lambda: door.office.shift(door.desk))
    assert predict(door).json["lines"] == LINES


def test_a_canary_that_dies_under_requests_fails_none_of_them(door: Door, newer: FakeReplica) -> None:
    canary = door.beside(newer.target)
    split(door, canary)
    newer.stop()
    began = time.monotonic()
    assert [predict(door).json["lines"] for _ in range(3)] == [LINES] * 3
    assert counts(canary) == (3, 3)
    # The first finds nobody; the others wait for a replica as long as the canary may let them wait.
    assert time.monotonic() - began < 2 * 5.0 * 0.5 + 2


def test_a_request_that_loses_its_replica_goes_on_at_once(door: Door, newer: FakeReplica) -> None:
    newer.plan.delay = 20
    canary = door.beside(newer.target)
    split(door, canary)
    ender = threading.Thread(target=lambda: (newer.plan.arrived.wait(5), newer.stop()))
    ender.start()
    began = time.monotonic()
    assert predict(door).json["lines"] == LINES
    assert time.monotonic() - began < 2.0
    ender.join()
    assert counts(canary) == (1, 1)
    assert counts(door.desk) == (1, 0)
    assert 'serving_requests_retried_total{pipeline="ocr"} 1.0' in door.ask("GET", "/metrics").text


def test_a_request_that_takes_a_replica_of_either_release_down_is_poison(
    door: Door, newer: FakeReplica, replica: FakeReplica
) -> None:
    newer.plan.delay = replica.plan.delay = 20
    canary = door.beside(newer.target)
    split(door, canary)

    def end(fake: FakeReplica) -> None:
        fake.plan.arrived.wait(5)
        fake.stop()

    enders = [threading.Thread(target=end, args=(fake,)) for fake in (newer, replica)]
    for ender in enders:
        ender.start()
    try:
        answer = predict(door)
    finally:
        for ender in enders:
            ender.join()
        replica.start()
    assert answer.status == 500
    assert "ends the model servers" in answer.text


def test_a_canary_that_hangs_leaves_time_for_the_other_one(door: Door, newer: FakeReplica) -> None:
    newer.plan.delay = 20
    canary = door.beside(newer.target)
    split(door, canary)
    began = time.monotonic()
    answer = predict(door, **{"X-Timeout-Ms": "1500"})
    assert (answer.status, answer.json["lines"]) == (200, LINES)
    assert time.monotonic() - began < 1.4
    assert counts(canary) == (1, 1)


@pytest.mark.parametrize("how", [{"crash": True}, {"err_no": protocol.INTERNAL, "err_msg": "no memory"}])
def test_a_canary_that_fails_is_passed_over_whatever_the_protocol(
    door: Door, newer: FakeReplica, how: dict[str, Any]
) -> None:
    for name, value in how.items():
        setattr(newer.plan, name, value)
    canary = door.beside(newer.target)
    split(door, canary)
    assert predict(door).json["lines"] == LINES
    with GrpcClient(door.target) as client:
        assert client.predict("ocr", png()).raw["lines"] == LINES
    assert counts(canary) == (2, 2)
    assert counts(door.desk) == (2, 0)


def test_what_is_the_clients_doing_is_not_asked_again(door: Door, newer: FakeReplica) -> None:
    newer.plan.err_no, newer.plan.err_msg = protocol.UNPROCESSABLE, "not an image"
    canary = door.beside(newer.target)
    split(door, canary)
    assert predict(door).status == 422
    assert counts(canary) == (1, 0)
    assert counts(door.desk) == (0, 0)


@pytest.mark.parametrize(("why", "failed"), [("not ready", 1), ("no place", 0)])
def test_a_canary_that_takes_no_request_leaves_it_to_the_other_one(
    door: Door, newer: FakeReplica, why: str, failed: int
) -> None:
    """One that is full may be so for the load alone."""
    canary = door.beside(newer.target, is_ready=lambda: why != "not ready")
    if why == "no place":
        canary._places = 0
    split(door, canary)
    assert predict(door).json["lines"] == LINES
    assert counts(canary) == (failed, failed)
    assert newer.plan.seen == []


def test_what_neither_can_answer_is_not_the_canarys_failure(
    door: Door, replica: FakeReplica, newer: FakeReplica
) -> None:
    """A deadline that is too short for both, say."""
    replica.plan.delay = newer.plan.delay = 1.0
    canary = door.beside(newer.target)
    split(door, canary)
    assert predict(door, **{"X-Timeout-Ms": "300"}).status == 504
    assert counts(canary) == (0, 0)
    newer.plan.delay = 0
    newer.plan.crash = replica.plan.crash = True
    assert predict(door).status == 500
    assert counts(canary) == (0, 0)


def test_a_request_that_goes_back_needs_no_place_of_the_other_desk(door: Door, newer: FakeReplica) -> None:
    newer.plan.crash = True
    split(door, door.beside(newer.target))
    door.desk._places = 0
    assert predict(door).status == 200


def test_a_request_that_goes_back_goes_to_who_serves_by_then(door: Door, newer: FakeReplica) -> None:
    """The canary may have become it: the other release may have been ended."""
    newer.plan.delay = 1.0
    canary = door.beside(newer.target)
    split(door, canary)
    door.desk._is_ready = lambda: False
    got: list[Any] = []
    asking = threading.Thread(target=lambda: got.append(predict(door, **{"X-Timeout-Ms": "1900"})))
    asking.start()
    assert newer.plan.arrived.wait(5)
    door.call(lambda: door.office.shift(canary))
    newer.plan.delay = 0
    asking.join(10)
    assert got[0].json["lines"] == NEWER
    assert counts(door.desk) == (0, 0)


def test_the_log_names_the_release_that_answered(
    door: Door, newer: FakeReplica, caplog: pytest.LogCaptureFixture
) -> None:
    split(door, door.beside(newer.target, release="ocr-2"))
    with caplog.at_level(logging.INFO, access.LOGGER):
        predict(door)
        newer.plan.crash = True
        predict(door)
        while sum(record.name == access.LOGGER for record in caplog.records) < 2:
            time.sleep(0.01)
    lines = [json.loads(record.message) for record in caplog.records if record.name == access.LOGGER]
    assert [line.get("release") for line in lines] == ["ocr-2", None]


def test_a_replica_that_is_lost_counts_although_another_one_answers(
    door: Door, newer: FakeReplica, tmp_path: Path
) -> None:
    """Also of the release that serves: it is what the canary is compared with."""
    with FakeReplica(tmp_path / "second.sock") as second:
        newer.plan.delay = 20
        desk = door.beside(newer.target, second.target, pool=Pool(4))
        door.call(lambda: door.office.shift(desk))
        ender = threading.Thread(target=lambda: (newer.plan.arrived.wait(5), newer.stop()))
        ender.start()
        assert predict(door).status == 200
        ender.join()
        assert counts(desk) == (1, 1)
        assert predict(door).status == 200
        assert counts(desk) == (2, 1)
