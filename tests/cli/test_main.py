"""What every command has in common: exit codes, and one JSON object for programs, also for an error."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from toolkit.cli import main as program
from toolkit.cli.project import clean
from toolkit.supervisor import state as states

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def nothing_stays_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tracebacks go to a folder of the test; the signal handler that a command sets goes with it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        program.main(list(arguments))
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["deploy", "--json", "--http-port", "0"], 2, "BadParameter"),
        (["status", "--json", "--model", "nope"], 3, "SpecError"),
        (["smoke", "--json"], 8, "ServiceError"),
    ],
)
def test_an_error_is_one_json_object(
    arguments: list[str], code: int, error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, "--build", str(tmp_path)) == code
    told = json.loads(capsys.readouterr().out)
    assert (told["error"], told["exit_code"]) == (error, code)


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt(), 130), (RuntimeError("a bug"), 70)])
def test_ctrl_c_and_bugs_have_their_codes_and_no_traceback(
    raised: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(program.program, "main", fail)
    assert run("deploy", "--json") == code
    out = capsys.readouterr()
    assert json.loads(out.out)["exit_code"] == code
    assert "Traceback" not in out.err


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    context = program.program.make_context("toolkit", ["status"])
    for name in program.COMMANDS:
        command = program.program.get_command(context, name)
        assert command is not None
        assert (command.name, bool(command.get_short_help_str())) == (name, True)


def test_a_rollback_does_not_load_what_evaluates_models_nor_a_web_server() -> None:
    code = "import sys; from toolkit.cli import main, rollback; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"toolkit.stages.evaluate", "toolkit.report", "fastapi", "paddle"} & set(loaded.stdout.split())


def test_clean_removes_what_the_toolkit_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "build" / "store" / "export").mkdir(parents=True)
    (tmp_path / "build" / "site" / "reference").mkdir(parents=True)
    (tmp_path / "build" / "ocr" / "logs").mkdir(parents=True)
    clean.main(["--build", "build"], standalone_mode=False)
    assert not (tmp_path / "build").exists()


def test_clean_refuses_while_a_service_that_is_tried_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "ocr" / "tuning" / "scratch" / "best" / "service"
    home.mkdir(parents=True)
    (tmp_path / "ocr" / "logs").mkdir()
    found = SimpleNamespace(name="ocr", pid=4711)
    monkeypatch.setattr(states, "running", lambda path: found if path == home else None)
    assert run("clean", "--build", str(tmp_path)) == 8
    assert "kill 4711" in capsys.readouterr().err
    assert home.is_dir()


def test_clean_leaves_a_directory_alone_that_holds_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "store").mkdir()
    assert run("clean", "--build", str(tmp_path)) == 8
    assert "photos" in capsys.readouterr().err
    assert (tmp_path / "store").is_dir()
