"""What a release is asked before a client can reach it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes import LINES, FakeReplica
from tests.supervisor.stage import make_release
from toolkit.client import protocol
from toolkit.content.kinds import FIELDS, Kind
from toolkit.errors import SmokeError
from toolkit.gateway.endpoint import Endpoint
from toolkit.serving import release
from toolkit.supervisor import trial


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return make_release(tmp_path / "release", "right", deadline_seconds=0.5)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[list[FakeReplica]]:
    with FakeReplica(tmp_path / "0.sock") as first, FakeReplica(tmp_path / "1.sock") as second:
        for fake in (first, second):
            fake.plan.lines = [{**LINES[0], "text": "right"}]
        yield [first, second]


def check(made: Path, *targets: str) -> list[str]:
    """What is wrong, in a line each."""

    async def ask() -> None:
        endpoints = [Endpoint(index, target) for index, target in enumerate(targets)]
        try:
            await trial.check(made, release.read(made), endpoints)
        finally:
            for endpoint in endpoints:
                await endpoint.close()

    try:
        asyncio.run(ask())
    except SmokeError as error:
        return error.message.split("\n  - ")[1:]
    return []


def test_each_replica_is_asked_all_golden_images_and_what_must_be_refused(
    made: Path, pair: list[FakeReplica]
) -> None:
    assert check(made, *(fake.target for fake in pair)) == []
    assert [len(fake.plan.seen) for fake in pair] == [4, 4]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"lines": [{**LINES[0], "text": "wrong"}]}, "64.png: lines[0].text: expected 'right', got 'wrong'"),
        ({"lines": [{**LINES[0], "text": "right", "score": 0.98764}]}, "not what the first replica answered"),
        ({"err_no": 53, "err_msg": "no"}, "64.png: expected a prediction, got error 53: no"),
        ({"delay": 2.0}, "64.png: expected a prediction, got TimeoutError: no answer in time"),
        ({"crash": True}, "64.png: expected a prediction, got ReplicaFault"),
    ],
)
def test_an_answer_that_is_not_the_recorded_one_is_told_with_its_replica(
    made: Path, pair: list[FakeReplica], changes: dict[str, Any], told: str
) -> None:
    vars(pair[1].plan).update(changes)
    found = check(made, *(fake.target for fake in pair))
    assert found
    assert all(line.startswith("replica 1, ") for line in found)
    assert told in found[0]


def test_what_must_be_refused_and_is_not_is_told(
    made: Path, pair: list[FakeReplica], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeReplica, "_answer", lambda self, request: self._read(_PNG))
    told = [line for line in check(made, pair[0].target) if "expected error" in line]
    assert told == [
        f"replica 0, not an image: expected error {protocol.UNPROCESSABLE}, got error 0",
        f"replica 0, unknown model: expected error {protocol.NO_SERVICE}, got error 0",
    ]


_PNG = b"\x89PNG\r\n\x1a\n" + bytes(8) + (64).to_bytes(4, "big") + (32).to_bytes(4, "big")


def test_no_replica_is_no_release(made: Path) -> None:
    assert check(made) == ["there is no replica to ask"]


def test_a_replica_that_is_gone_is_told(made: Path, tmp_path: Path) -> None:
    found = check(made, f"unix:{tmp_path}/nobody.sock")
    assert "expected a prediction, got Gone" in found[0]


@pytest.mark.parametrize(
    ("kind", "content", "got"), [("text", "你好", "你好"), ("json", "[1, 2]", [1, 2])], ids=["text", "json"]
)
def test_a_release_that_takes_no_images_is_asked_what_it_takes(
    tmp_path: Path, kind: Kind, content: str, got: Any
) -> None:
    made = make_release(tmp_path / "release", "", deadline_seconds=5)
    plan = yaml.safe_load((made / release.RELEASE_FILE).read_text())
    (made / release.RELEASE_FILE).write_text(yaml.safe_dump({**plan, "accepts": kind}))
    golden = made / release.GOLDEN_DIR
    (golden / "0.txt").write_text(content, encoding="utf-8")
    (golden / release.GOLDEN_FILE).write_text(json.dumps([{"image": "0.txt", "answer": {"got": got}}]))
    with FakeReplica(tmp_path / "0.sock", kind=kind) as fake:
        assert check(made, fake.target) == []
        assert [tensor.name for request in fake.plan.seen for tensor in request.tensors] == [FIELDS[kind]] * 3
    with FakeReplica(tmp_path / "1.sock", kind="json" if kind == "text" else "text") as other:
        told = check(made, other.target)
    assert f"no field `{FIELDS['json' if kind == 'text' else 'text']}`" in told[0]


@pytest.mark.parametrize(
    ("kind", "told"), [("text", "an empty text"), ("json", "neither an object nor an array")]
)
def test_a_replica_that_takes_anything_is_told(
    tmp_path: Path, kind: Kind, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_release(tmp_path / "release", "", deadline_seconds=5)
    plan = yaml.safe_load((made / release.RELEASE_FILE).read_text())
    (made / release.RELEASE_FILE).write_text(yaml.safe_dump({**plan, "accepts": kind}))
    credulous = protocol.Response(key=[protocol.RESULT_KEY], value=["{}"])
    monkeypatch.setattr(FakeReplica, "_answer", lambda self, request: credulous)
    with FakeReplica(tmp_path / "0.sock", kind=kind) as fake:
        found = check(made, fake.target)
    assert f"replica 0, {told}: expected error {protocol.BAD_REQUEST}, got error 0" in found
