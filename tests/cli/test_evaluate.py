"""`toolkit evaluate` and `deploy` for programs: one JSON object, the exit code in it, and `result.json` beside it."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest

from tests.stages import planted
from tests.stages.planted import BETWEEN, PIPELINES, WORSE, A, Plant, World
from toolkit.cli import main as program
from toolkit.stages import render

Told = tuple[int, Any, Any]


@pytest.fixture(autouse=True)
def nothing_stays_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tracebacks go to a folder of the test; the signal handler that a command sets goes with it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """Both models pass in INT8."""
    found = World({(name, A): Plant(ratio=3.0) for name in ("det", "rec")}, {"det": [A], "rec": [A]})
    planted.install(found, monkeypatch, tmp_path)
    return found


def run(capsys: pytest.CaptureFixture[str], build: Path, command: str, *arguments: str) -> Told:
    """The exit code, what was printed as JSON, and the recorded result."""
    with pytest.raises(SystemExit) as ended:
        program.main([command, "--build", str(build), "--json", *arguments])
    told = json.loads(capsys.readouterr().out)
    return int(ended.value.code or 0), told, json.loads((build / "ocr" / "result.json").read_text())


@pytest.mark.parametrize(
    ("lost", "arguments", "code", "error"),
    [
        (None, (), 0, None),
        (BETWEEN, (), 0, None),
        (BETWEEN, ("--strict",), 10, "InconclusiveError"),
        (WORSE, (), 0, None),
        (WORSE, ("--precision", "int8"), 4, "GateError"),
    ],
)
def test_evaluate_prints_one_object_with_the_verdict_the_report_and_the_code(
    lost: Any,
    arguments: tuple[str, ...],
    code: int,
    error: Optional[str],
    world: World,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if lost:
        world.plants["det", A] = Plant(lost, 3.0)
    ended, told, recorded = run(capsys, tmp_path / "build", "evaluate", *arguments)
    assert (ended, told["exit_code"], recorded["exit_code"]) == (code, code, code)
    assert told.get("error") == error
    assert Path(told["report"]).is_file()
    assert told["verdict"] == recorded["verdict"]
    assert told["verdict"]["passed"] is (code != 4)


def test_deploy_prints_one_object_too_and_renders_nothing_of_what_failed(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.plants["det", A] = Plant(WORSE, 3.0)
    ended, told, recorded = run(capsys, tmp_path / "build", "deploy", "--precision", "int8")
    assert (ended, told["exit_code"], told["error"]) == (4, 4, "GateError")
    assert told["verdict"]["models"]["det"]["served"] is None
    assert (recorded["command"], recorded["error"]["message"]) == ("deploy", told["message"])
    assert not (tmp_path / "build" / "store" / "render").exists()


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt(), 130), (RuntimeError("a bug"), 70)])
def test_the_result_has_the_code_of_an_interruption_and_of_a_bug(
    raised: BaseException,
    code: int,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(render, "run", fail)
    ended, told, recorded = run(capsys, tmp_path / "build", "deploy")
    assert (ended, told["exit_code"], recorded["exit_code"]) == (code, code, code)
    assert told["verdict"]["passed"], "what was found out until then is told"


def test_a_broken_spec_is_recorded_over_the_result_of_the_run_before(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipelines = tmp_path / "pipelines"
    shutil.copytree(PIPELINES / "ocr", pipelines / "ocr")
    asked = ("evaluate", "--pipelines", str(pipelines))
    assert run(capsys, tmp_path / "build", *asked)[2]["exit_code"] == 0
    (pipelines / "ocr" / "pipeline.yml").write_text("name: ocr\nsteps: nonsense\n")
    ended, told, recorded = run(capsys, tmp_path / "build", *asked)
    assert (ended, told["error"], recorded["exit_code"]) == (3, "SpecError", 3)
    assert "verdict" not in recorded


def test_a_name_that_no_pipeline_has_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["evaluate", "--build", str(tmp_path / "build"), "--model", "../nope"])
    assert ended.value.code == 3
    assert list(tmp_path.iterdir()) == []
    capsys.readouterr()


def test_for_people_the_table_comes_before_the_error(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.plants["det", A] = Plant(WORSE, 3.0)
    with pytest.raises(SystemExit) as ended:
        program.main(["evaluate", "--build", str(tmp_path / "build"), "--precision", "int8"])
    out = capsys.readouterr()
    assert ended.value.code == 4
    assert "fail: loses 3.00 points" in out.out
    assert out.err.count("int8 was asked for") == 1
