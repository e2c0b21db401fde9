"""What serves, compared with its FP32 models on live requests; and gone to these by itself, if that is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.serving.test_release import AGREEMENT, RELEASE
from tests.supervisor.stage import Asking, Stage, make_release, stage
from toolkit.serving.release import Release
from toolkit.supervisor import control, deployed, journal
from toolkit.supervisor.deployed import FP32
from toolkit.supervisor.watch import Watch

TEXT, MISREAD = "what FP32 reads", "what FP32 raeds"


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with stage(tmp_path, monkeypatch) as made:
        yield made


def launch(running: Stage, folder: Path, text: str, rollback: bool = False) -> None:
    """A release that reads `text`, and FP32 standing by."""
    watch = {"sample": 1.0, "window": 40, "rollback": rollback}
    path = make_release(folder / "ocr-1", text, watch=watch)
    make_release(path / "fp32", TEXT)
    control.launch(running.home, running.target(path))
    running.wait_for("it stands by", lambda: [s for _, s in running.replicas()][1:] == ["standby"])


def compared(running: Stage) -> float:
    name = 'mirrored_total{pipeline="ocr",result="compared"}'
    (line,) = (item for item in running.metrics().splitlines() if name in item)
    return float(line.split()[-1])


def test_answers_that_are_those_of_fp32_are_no_matter(running: Stage, tmp_path: Path) -> None:
    launch(running, tmp_path, TEXT, rollback=True)
    with Asking(running.state) as asking:
        running.wait_for("they are compared", lambda: compared(running) > 45)
    assert (asking.problems, set(asking.answers)) == ([], {TEXT})
    assert running.state.note == ""
    assert 'serving_disagreement_ratio{pipeline="ocr"} 0.0' in running.metrics()


def test_answers_that_differ_are_told_of_and_what_serves_serves_on(running: Stage, tmp_path: Path) -> None:
    launch(running, tmp_path, MISREAD)
    with Asking(running.state) as asking:
        running.wait_for("it is noted", lambda: "watch: answers differ by 13.3 %" in running.state.note)
    assert (asking.problems, set(asking.answers)) == ([], {MISREAD})
    assert running.log().count("the watch on what serves") == 1
    assert 'serving_disagreement_ratio{pipeline="ocr"} 0.13' in running.metrics()


def test_where_that_is_wanted_the_service_goes_to_fp32_by_itself(running: Stage, tmp_path: Path) -> None:
    launch(running, tmp_path, MISREAD, rollback=True)
    with Asking(running.state) as asking:
        running.wait_for("FP32 answers", lambda: asking.answers[TEXT] > 10)
    assert asking.problems == []
    running.wait_for(
        "it is recorded", lambda: [item.what for item in journal.read(running.home)] == ["watch"]
    )
    (entry,) = journal.read(running.home)
    assert (entry.before, entry.after, entry.result) == ("ocr-1", "ocr-1 in FP32", "success")
    assert "answers differ by 13.3 %" in entry.reason
    assert deployed.read(running.home).now.variant == FP32  # type: ignore[union-attr]
    assert running.state.note == ""


def test_fp32_is_what_is_compared_with_so_that_its_failures_are_not_held_against_what_serves() -> None:
    """A mirror makes no pair where its first desk fails."""
    mirrored: list[Any] = []
    gateway: Any = SimpleNamespace(mirror=lambda *arguments: mirrored.append(arguments))
    plan = Release.model_validate({**RELEASE, "watch": {"sample": 0.5}, "agreement": AGREEMENT})
    serving, standby = (SimpleNamespace(desk=name, plan=plan) for name in ("serving", "standby"))
    Watch(gateway, cast(Any, serving), cast(Any, standby), lambda found: None)
    assert mirrored[0][:3] == ("standby", "serving", 0.5)
