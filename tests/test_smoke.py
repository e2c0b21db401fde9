from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import LINES, FakeReplica, png
from tests.gateway.harness import Door
from tests.gateway.test_kinds import catalog
from toolkit.client import protocol
from toolkit.content.kinds import Kind
from toolkit.errors import SmokeError
from toolkit.smoke import Golden, SmokeReport, compare, smoke

EXPECTED: dict[str, Any] = {"lines": LINES, "width": 64, "height": 32}


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[FakeReplica]:
    with FakeReplica(tmp_path / "r.sock") as fake:
        yield fake


@pytest.fixture
def door(replica: FakeReplica) -> Iterator[Door]:
    with Door(replica.target) as running:
        yield running


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "sign.png"
    file.write_bytes(png())
    return file


def run(door: Door, *goldens: Golden, **settings: Any) -> SmokeReport:
    return smoke(door.url, door.target, "ocr", goldens, **{"timeout": 5, **settings})


def changed(line: int, **changes: Any) -> dict[str, Any]:
    data = copy.deepcopy(EXPECTED)
    data["lines"][line].update(changes)
    return data


def failure(door: Door, *goldens: Golden, **settings: Any) -> str:
    with pytest.raises(SmokeError) as caught:
        run(door, *goldens, rounds=2, **settings)
    assert caught.value.where == f"{door.url}, {door.target}"
    return caught.value.message


def test_a_service_that_answers_right_gets_a_report_with_latencies(
    door: Door, replica: FakeReplica, image: Path
) -> None:
    report = run(door, Golden("sign", image, EXPECTED), Golden("again", image, EXPECTED))
    assert (report.goldens, report.rounds, report.model) == (("sign", "again"), 5, "ocr")
    assert set(report.latencies) == {"HTTP", "gRPC", "Paddle Serving HTTP"}
    assert all(0 < each.p50_ms <= each.max_ms for each in report.latencies.values())
    assert len(report.refusals) == 7
    as_text = [request.value[0] for request in replica.plan.seen if list(request.key) == ["image"]]
    as_file = [tensor.byte_data for request in replica.plan.seen for tensor in request.tensors]
    assert len([text for text in as_text if text.startswith("iVBOR")]) == 2 * 2 * 5
    assert len([data for data in as_file if data.startswith(b"\x89PNG")]) == 2 * 1 * 5
    data = json.loads(json.dumps(report.to_json()))
    assert data["latencies"]["gRPC"]["p50_ms"] == report.latencies["gRPC"].p50_ms


def test_a_wrong_answer_is_reported_with_image_protocol_expected_and_got(door: Door, image: Path) -> None:
    message = failure(
        door,
        Golden("good", image, EXPECTED),
        Golden("text", image, changed(0, text="goodbye")),
        Golden("count", image, {**EXPECTED, "lines": LINES[:1]}),
    )
    assert "2 differences" in message
    assert "text over HTTP: lines[0].text: expected 'goodbye', got '你好, world'" in message
    assert "count over HTTP: lines: expected 1 items [{'text': '你好, world'" in message
    assert "good over" not in message


def test_an_answer_that_changes_between_rounds_or_protocols_is_reported(
    door: Door, replica: FakeReplica, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = replica._answer
    monkeypatch.setattr(
        replica, "_answer", lambda request: (drift(replica.plan.lines), real(request))[1], raising=True
    )

    def drift(lines: list[Any]) -> None:
        lines[0] = {**lines[0], "score": lines[0]["score"] - 1e-7}

    message = failure(door, Golden("sign", image, EXPECTED))
    assert "sign over HTTP: not what HTTP answered: expected exactly" in message
    assert "sign over gRPC: not what HTTP answered" in message


def test_a_service_that_fails_is_reported_for_every_protocol(
    door: Door, replica: FakeReplica, image: Path
) -> None:
    replica.plan.err_no, replica.plan.err_msg = 53, "planned"
    message = failure(door, Golden("sign", image, EXPECTED))
    assert "sign over HTTP: expected a prediction, got ServerFault: planned" in message
    assert "sign over gRPC: expected a prediction, got ServerFault: planned" in message
    assert "sign over Paddle Serving HTTP: expected a prediction, got" in message
    assert "HTTP, not an image: expected status 422, got 500" in message
    assert "gRPC, not an image: expected BadRequest, got ServerFault: planned" in message


def test_a_service_that_takes_anything_for_an_image_is_reported(
    door: Door, replica: FakeReplica, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = replica._answer

    def credulous(request: Any) -> Any:
        return real(protocol.Request.FromString(protocol.pack_file("ocr", png())))

    monkeypatch.setattr(replica, "_answer", credulous)
    message = failure(door, Golden("sign", image, EXPECTED))
    assert "HTTP, not an image: expected status 422, got 200" in message
    # The front door itself knows what is served.
    assert "unknown model" not in message


def test_a_service_that_is_not_there_is_a_readable_failure_too(tmp_path: Path, image: Path) -> None:
    with Door(f"unix:{tmp_path}/nobody.sock") as door:
        message = failure(door, Golden("sign", image, EXPECTED), timeout=1)
        assert re.search(
            "sign over gRPC: expected a prediction, got (Unavailable|DeadlineExceeded): ", message
        )
    with pytest.raises(SmokeError, match="cannot reach"):
        run(door, Golden("sign", image, EXPECTED))


def test_without_golden_images_nothing_is_proven(door: Door) -> None:
    assert "no golden request" in failure(door)


@pytest.mark.parametrize(
    "got",
    [
        EXPECTED,
        changed(0, score=0.98765 - 0.0099),
        changed(1, box=[[1.5, 20.0], [30.9, 20.0], [30.0, 30.25], [1.5, 31.25]]),
    ],
)
def test_within_the_tolerances_answers_agree(got: dict[str, Any]) -> None:
    assert compare(EXPECTED, got) == []


@pytest.mark.parametrize(
    ("got", "difference"),
    [
        (changed(0, score=0.98765 - 0.0101), "lines[0].score: expected"),
        (changed(0, score=float("nan")), "lines[0].score: expected"),
        (
            changed(1, box=[[1.5, 20.0], [30.0, 21.1], [30.0, 30.25], [1.5, 30.25]]),
            "lines[1].box[1][1]: expected",
        ),
        (changed(1, text="x"), "lines[1].text: expected"),
        ({**EXPECTED, "width": 65}, "width: expected 64, got 65"),
        ({**EXPECTED, "lines": []}, "lines: expected 2 items"),
        ({"lines": LINES, "width": 64}, "height: missing"),
        ({**EXPECTED, "depth": 3}, "depth: not expected"),
    ],
)
def test_beyond_the_tolerances_the_difference_is_named(got: dict[str, Any], difference: str) -> None:
    (found,) = compare(EXPECTED, got)
    assert found.startswith(difference)


CLASSES = {"classes": [{"id": 3, "name": "tabby", "score": 0.5}], "values": [250.0]}


@pytest.mark.parametrize(
    ("got", "differences"),
    [
        ({"classes": [{"id": 3, "name": "tabby", "score": 0.509}], "values": [252.4]}, 0),
        ({"classes": [{"id": 4, "name": "tabby", "score": 0.5}], "values": [250.0]}, 1),
        ({"classes": [{"id": 3, "name": "tiger", "score": 0.52}], "values": [252.6]}, 3),
        ({"classes": {}, "values": None}, 2),
        ([], 1),
    ],
)
def test_answers_of_any_shape_are_compared(got: Any, differences: int) -> None:
    assert len(compare(CLASSES, got)) == differences


@pytest.mark.parametrize(
    ("kind", "content", "got"), [("text", "你好, 世界", "你好, 世界"), ("json", '{"ids": [1]}', {"ids": [1]})]
)
def test_a_service_that_takes_no_images_is_asked_what_it_takes(
    tmp_path: Path, kind: Kind, content: str, got: Any
) -> None:
    file = tmp_path / "golden"
    file.write_text(content, encoding="utf-8")
    with (
        FakeReplica(tmp_path / "k.sock", kind=kind) as fake,
        Door(fake.target, catalog=catalog(kind)) as door,
    ):
        report = run(door, Golden("one", file, {"got": got}), kind=kind)
        assert set(report.latencies) == {"HTTP", "gRPC", "Paddle Serving HTTP"}
        assert len(report.refusals) == 7
        assert not any("image" in name for name in report.refusals)
        message = failure(door, Golden("one", file, {"got": "other"}), kind=kind)
        assert "one over HTTP: got: expected 'other', got" in message
