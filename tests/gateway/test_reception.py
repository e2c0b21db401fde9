"""A request belongs to the release that served when it came, from its first look to its answer."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import LINES, FakeReplica, png
from tests.gateway.harness import CATALOG, Door, options
from toolkit.client import GrpcClient
from toolkit.gateway import access
from toolkit.gateway.catalog import Catalog
from toolkit.gateway.endpoint import Endpoint
from toolkit.gateway.faults import NotReady
from toolkit.gateway.pool import Pool
from toolkit.gateway.reception import Reception

IMAGE = base64.b64encode(png()).decode()
NEWER = [{**LINES[0], "text": "newer"}]


@contextmanager
def shifted(door: Door, target: str, catalog: Catalog, **limits: Any) -> Iterator[None]:
    """Another release behind the same ports, for requests that come from now on."""
    endpoints: list[Endpoint] = []

    def shift() -> None:
        pool = Pool(4)
        endpoints.append(Endpoint(7, target))
        pool.add(endpoints[0])
        door.office.shift(door.office.open(options(**limits), catalog, pool, 4, lambda: True))

    door.call(shift)
    yield
    door.run(endpoints[0].close())


@pytest.fixture
def newer(tmp_path: Path) -> Iterator[FakeReplica]:
    with FakeReplica(tmp_path / "newer.sock") as fake:
        fake.plan.lines = NEWER
        yield fake


def test_a_request_under_way_stays_with_its_release_and_the_next_one_goes_to_the_new_one(
    replica: FakeReplica, newer: FakeReplica
) -> None:
    replica.plan.delay = 0.5
    with Door(replica.target) as door, GrpcClient(door.target) as client:
        old: list[Any] = []
        threads = [
            threading.Thread(
                target=lambda: old.append(door.ask("POST", "/predict/ocr", {"image": IMAGE}).json)
            ),
            threading.Thread(target=lambda: old.append(client.predict("ocr", png()).raw)),
        ]
        for thread in threads:
            thread.start()
        while len(replica.plan.seen) < 2:
            time.sleep(0.01)
        with shifted(door, newer.target, CATALOG):
            assert door.ask("POST", "/predict/ocr", {"image": IMAGE}).json["lines"] == NEWER
            assert client.predict("ocr", png()).raw["lines"] == NEWER
            for thread in threads:
                thread.join(10)
    assert [answer["lines"] for answer in old] == [LINES, LINES]
    assert len(replica.plan.seen) == 2


def test_a_body_that_is_still_coming_belongs_to_the_release_that_it_began_with(
    replica: FakeReplica, newer: FakeReplica
) -> None:
    body = f'{{"image": "{IMAGE}"}}'.encode()
    head = "POST /predict/ocr HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
    with Door(replica.target) as door, door.connect() as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:10])
        while 'serving_in_flight{pipeline="ocr"} 1.0' not in door.ask("GET", "/metrics").text:
            time.sleep(0.01)
        # That so much is too much is of the new release, and not this request's affair.
        with shifted(door, newer.target, CATALOG, max_body_bytes=11):
            connection.sendall(body[10:])
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert len(replica.plan.seen) == 1
    assert newer.plan.seen == []


def test_all_that_a_client_can_ask_is_of_the_new_release_from_the_shift_on(
    replica: FakeReplica, newer: FakeReplica
) -> None:
    models = (CATALOG.pipeline, replace(CATALOG.models[1], name="ocr.cls", digest="feed"))
    with Door(replica.target) as door, shifted(door, newer.target, Catalog(models, "ocr-2", "fp32")):
        assert door.ask("GET", "/").json["models"] == ["ocr", "ocr.cls"]
        assert door.ask("GET", "/v2/models/ocr.cls").status == 200
        assert door.ask("GET", "/v2/models/ocr.det").status == 404
        told = door.ask("GET", "/metrics").text
        assert 'serving_release_info{pipeline="ocr",release="ocr-2",variant="fp32"} 1.0' in told
        assert 'serving_model_info{digest="feed",model="cls",' in told
        assert (
            'serving_stage_duration_seconds_count{model="cls",pipeline="ocr",stage="inference"} 0.0' in told
        )


def test_a_request_keeps_its_desk_and_has_the_name_of_its_release_for_the_log() -> None:
    class Desk:
        ready = True

        def __init__(self, release: str) -> None:
            self.catalog = Catalog(CATALOG.models, release, "release")

    reception, first, second = Reception(), Desk("ocr-1"), Desk("ocr-2")
    with pytest.raises(NotReady):
        reception.catalog  # noqa: B018 # it is a property
    assert not reception.ready
    reception.shift(first)  # type: ignore[arg-type]
    record = replace(access.current())
    token = access._current.set(record)
    try:
        assert reception.catalog.release == "ocr-1"
        reception.shift(second)  # type: ignore[arg-type]
        assert reception.catalog.release == "ocr-1"
        assert (record.release, record.variant) == ("ocr-1", "release")
    finally:
        access._current.reset(token)
    assert reception.catalog.release == "ocr-2"
