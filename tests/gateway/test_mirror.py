"""What one release answered is asked of another one, and no client notices."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes import LINES, NEWER, FakeReplica, png
from tests.gateway.harness import Door, options
from toolkit.client import GrpcClient, protocol
from toolkit.gateway import access
from toolkit.gateway.mirror import Pair, _seconds

IMAGE = base64.b64encode(png()).decode()


class Scene:
    """A door whose desk is the first of a mirror, and another desk that is the second."""

    def __init__(self, door: Door, newer: FakeReplica) -> None:
        self.door = door
        self.other = door.beside(newer.target)
        self.pairs: list[Pair] = []

    def mirror(self, share: float = 1.0) -> None:
        office = self.door.office
        self.door.call(lambda: office.mirror(self.door.desk, self.other, share, self.pairs.append))

    def ask(self) -> Any:
        answer = self.door.ask("POST", "/predict/ocr", {"image": IMAGE})
        assert answer.status == 200
        return answer.json["lines"]

    def mirrored(self, result: str) -> int:
        name = f'serving_mirrored_total{{pipeline="ocr",result="{result}"}} '
        told = self.door.ask("GET", "/metrics").text
        return int(float(next(line for line in told.splitlines() if line.startswith(name))[len(name) :]))

    def until(self, result: str, count: int) -> None:
        end = time.monotonic() + 5
        while self.mirrored(result) != count:
            assert time.monotonic() < end, f"{result}: {self.mirrored(result)}"
            time.sleep(0.01)

    def rest(self) -> None:
        """Until nothing is under way."""
        end = time.monotonic() + 5
        while self.door.call(lambda: self.door.office._mirror._task) is not None:  # type: ignore[union-attr]
            assert time.monotonic() < end
            time.sleep(0.01)


@pytest.fixture
def scene(replica: FakeReplica, newer: FakeReplica) -> Iterator[Scene]:
    with Door(replica.target, settings=options(deadline=1.0)) as door:
        yield Scene(door, newer)


def lines(body: bytes | None) -> Any:
    assert body is not None
    text = protocol.first_value(protocol.Response.FromString(body), protocol.RESULT_KEY)
    assert text is not None
    return json.loads(text)["lines"]


def test_a_pair_holds_both_answers_and_the_time_that_the_stages_took(
    scene: Scene, replica: FakeReplica, newer: FakeReplica
) -> None:
    replica.plan.timings = {"stages": {"decode": 0.25, "det.inference": 0.5}, "total": 9.0}
    newer.plan.timings = {"stages": {"decode": 0.5, "det.inference": 1.0}}
    scene.mirror()
    assert scene.ask() == LINES
    scene.until("compared", 1)
    (pair,) = scene.pairs
    assert (lines(pair.first), lines(pair.second)) == (LINES, NEWER)
    assert (pair.first_seconds, pair.second_seconds) == (0.75, 1.5)


def test_first_and_second_keep_their_places_whichever_the_client_asked(
    scene: Scene, replica: FakeReplica, newer: FakeReplica
) -> None:
    newer.plan.timings = {"stages": {"decode": 2.0}}
    scene.mirror()
    scene.door.call(lambda: scene.door.office.split(scene.other, 100))
    assert scene.ask() == NEWER
    scene.until("compared", 1)
    (pair,) = scene.pairs
    assert (lines(pair.first), lines(pair.second)) == (LINES, NEWER)
    assert (pair.first_seconds, pair.second_seconds) == (0.0, 2.0)
    assert len(replica.plan.seen) == len(newer.plan.seen) == 1


def test_paddles_protocol_is_mirrored_too_and_nothing_after_the_end(scene: Scene, newer: FakeReplica) -> None:
    scene.mirror()
    with GrpcClient(scene.door.target) as client:
        client.predict("ocr", png())
    scene.until("compared", 1)
    scene.door.call(scene.door.office.mirror_off)
    scene.ask()
    time.sleep(0.1)
    assert len(newer.plan.seen) == len(scene.pairs) == 1


def test_the_share_is_exact(scene: Scene, newer: FakeReplica) -> None:
    scene.mirror(0.25)
    for _ in range(12):
        scene.ask()
        scene.rest()
    assert len(newer.plan.seen) == len(scene.pairs) == 3
    assert scene.mirrored("dropped") == 0


def test_one_that_hangs_delays_nobody_and_is_the_only_one_under_way(scene: Scene, newer: FakeReplica) -> None:
    newer.plan.delay = 2.0
    scene.mirror()
    began = time.monotonic()
    for _ in range(10):
        scene.ask()
    assert time.monotonic() - began < 0.9
    assert len(newer.plan.seen) == 1
    assert scene.mirrored("dropped") == 9
    # Its own deadline, that of the desk; the replica is at work beyond it.
    scene.until("failed", 1)
    assert 0.9 < time.monotonic() - began < 1.9
    scene.ask()
    assert scene.mirrored("dropped") == 10
    assert (scene.other.outcomes.requests, scene.other.outcomes.failed) == (1, 1)
    assert [pair.second for pair in scene.pairs] == [None]
    scene.rest()
    assert scene.door.endpoints[1].guests == 0


def test_where_clients_take_all_places_none_is_asked(scene: Scene, newer: FakeReplica) -> None:
    newer.plan.delay = 0.5
    scene.door.call(lambda: scene.door.office.split(scene.other, 100))
    busy = [threading.Thread(target=scene.ask) for _ in range(4)]
    for thread in busy:
        thread.start()
    while len(newer.plan.seen) < 4:
        time.sleep(0.01)
    scene.door.call(lambda: scene.door.office.split(None))
    scene.mirror()
    scene.ask()
    scene.until("dropped", 1)
    assert len(newer.plan.seen) == 4
    for thread in busy:
        thread.join(5)


def test_clients_get_a_replica_that_is_asked_for_the_mirror(
    scene: Scene, replica: FakeReplica, newer: FakeReplica
) -> None:
    replica.plan.delay = 0.8
    scene.mirror()
    scene.door.call(lambda: scene.door.office.split(scene.other, 100))
    scene.ask()
    assert replica.plan.arrived.wait(5)
    replica.plan.delay = 0
    scene.door.call(lambda: scene.door.office.split(None))
    began = time.monotonic()
    scene.ask()
    assert time.monotonic() - began < 0.5


def test_a_second_release_that_is_dead_costs_clients_nothing_and_is_counted(
    scene: Scene, newer: FakeReplica
) -> None:
    told: list[Any] = []
    scene.door.call(lambda: setattr(scene.other.pool, "suspected", told.append))
    newer.plan.delay = 20
    scene.mirror()
    scene.ask()
    assert newer.plan.arrived.wait(5)
    newer.stop()
    scene.until("failed", 1)
    assert (scene.other.outcomes.requests, scene.other.outcomes.failed) == (1, 1)
    assert told == [scene.door.endpoints[1]]
    assert [pair.second for pair in scene.pairs] == [None]
    scene.rest()
    scene.ask()
    scene.until("dropped", 1)
    assert (scene.other.outcomes.requests, scene.other.outcomes.failed) == (1, 1)
    # Nobody is refused for it as for a poison, and nothing was retried.
    newer.plan.delay = 0
    newer.start()
    scene.door.call(lambda: scene.other.pool.add(scene.door.endpoints[1]))
    scene.door.call(lambda: scene.door.office.split(scene.other, 100))
    time.sleep(0.6)
    assert scene.ask() == NEWER
    assert 'serving_requests_retried_total{pipeline="ocr"} 0.0' in scene.door.ask("GET", "/metrics").text


@pytest.mark.parametrize("how", [{"crash": True}, {"err_no": protocol.INTERNAL}])
def test_a_server_error_of_the_second_release_is_a_pair_without_it(
    scene: Scene, newer: FakeReplica, how: dict[str, Any]
) -> None:
    for name, value in how.items():
        setattr(newer.plan, name, value)
    scene.mirror()
    scene.ask()
    scene.until("failed", 1)
    assert [pair.second for pair in scene.pairs] == [None]
    assert (scene.other.outcomes.requests, scene.other.outcomes.failed) == (1, 1)


def test_where_the_first_release_fails_there_is_nothing_to_compare_with(
    scene: Scene, replica: FakeReplica
) -> None:
    replica.plan.crash = True
    scene.mirror()
    scene.door.call(lambda: scene.door.office.split(scene.other, 100))
    assert scene.ask() == NEWER
    scene.until("failed", 1)
    assert scene.pairs == []
    assert (scene.door.desk.outcomes.requests, scene.door.desk.outcomes.failed) == (1, 1)


def test_a_refusal_of_the_second_release_is_an_answer(scene: Scene, newer: FakeReplica) -> None:
    newer.plan.err_no = protocol.UNPROCESSABLE
    scene.mirror()
    scene.ask()
    scene.until("compared", 1)
    assert protocol.Response.FromString(scene.pairs[0].second).err_no == protocol.UNPROCESSABLE
    assert (scene.other.outcomes.requests, scene.other.outcomes.failed) == (1, 0)


def test_metrics_and_log_know_the_clients_request_only(
    scene: Scene, newer: FakeReplica, caplog: pytest.LogCaptureFixture
) -> None:
    newer.plan.timings = {"stages": {"decode": 1.0}, "total": 1.0}
    scene.mirror()
    with caplog.at_level(logging.INFO, access.LOGGER):
        scene.ask()
        scene.until("compared", 1)
    told = scene.door.ask("GET", "/metrics").text
    assert 'serving_requests_total{code="200",pipeline="ocr",protocol="http"} 1.0' in told
    assert 'serving_stage_duration_seconds_count{model="",pipeline="ocr",stage="queue"} 1.0' in told
    assert 'serving_stage_duration_seconds_count{model="",pipeline="ocr",stage="decode"} 0.0' in told
    logged = [json.loads(item.message) for item in caplog.records if item.name == access.LOGGER]
    assert [(line["path"], line["attempts"]) for line in logged] == [("/predict/ocr", 1)]
    assert (scene.door.desk.outcomes.requests, scene.door.desk.outcomes.failed) == (1, 0)
    assert (scene.other.outcomes.requests, scene.other.outcomes.failed) == (1, 0)


@pytest.mark.parametrize(
    ("timings", "seconds"),
    [
        ({}, 0.0),
        ({"stages": 3}, 0.0),
        ({"stages": {"a": 1.5, "b": 1, "c": float("nan"), "d": "1", "e": -1.0, "f": True}}, 2.5),
    ],
)
def test_what_is_no_time_counts_as_none(timings: dict[str, Any], seconds: float) -> None:
    assert _seconds(timings) == seconds
