"""`toolkit targets` and `ci`: what is written where, and which exit codes programs get."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from toolkit.cli import main as program
from toolkit.targets import ci
from toolkit.targets.ci import Step


@pytest.fixture(autouse=True)
def nothing_stays_changed() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def run(build: Path, command: str, *arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        program.main([command, "--build", str(build), "--json", *arguments])
    return int(ended.value.code or 0)


def test_targets_are_written_below_the_pipelines_folder_and_nothing_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert run(tmp_path, "targets", "--only", "proxy", "--only", "systemd", "--version", "1.4.0") == 0
        told = json.loads(capsys.readouterr().out)
        home = tmp_path / "ocr" / "targets"
        assert told["directory"] == str(home)
        assert told["files"] == [
            str(home / "proxy" / "nginx.conf"),
            str(home / "systemd" / "serving-ocr.service"),
        ]
    assert [path.name for path in tmp_path.iterdir()] == ["ocr"]
    assert "dist/ocr-1.4.0" in (home / "systemd" / "serving-ocr.service").read_text()


@pytest.mark.parametrize("version", ["latest", "1.4.0 beta", "1.4.0+build", "-1", "", "1" * 64])
def test_a_version_that_is_no_tag_is_refused(
    version: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "targets", f"--version={version}") == 2
    assert json.loads(capsys.readouterr().out)["error"] == "BadParameter"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> dict[str, Sequence[str]]:
    """The options of each step that ran, by its command; the command in `FAILING` ends with its code."""
    found: dict[str, Sequence[str]] = {}

    def step(step: Step, options: Sequence[str]) -> int:
        found[step.command] = options
        return FAILING.get(step.command, 0)

    monkeypatch.setattr(ci, "run", step)
    monkeypatch.setattr(f"{__name__}.FAILING", {})
    monkeypatch.delenv("TOOLKIT_RELEASE_KEY", raising=False)
    return found


FAILING: dict[str, int] = {}


@pytest.mark.parametrize(("failing", "code"), [("evaluate", 4), ("quantize", 10), ("release", 12), ("", 0)])
def test_ci_runs_its_steps_to_the_first_failure_and_exits_with_the_code_of_that(
    failing: str, code: int, ran: dict[str, Sequence[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FAILING[failing] = code
    dist = tmp_path / "dist"
    given = ["--data", "images", "--budget", "5m", "--version", "1.4.0", "--dist", str(dist)]
    assert run(tmp_path, "ci", *given) == code
    commands = [step.command for step in ci.steps("ocr")]
    expected = commands[: commands.index(failing) + 1] if failing else commands
    told = json.loads(capsys.readouterr().out)
    assert list(ran) == expected == [item["command"] for item in told["steps"]]
    assert (told["exit_code"], told["steps"][-1]["exit_code"]) == (code, code)
    assert told["bundle"] == (None if failing else str(dist / "ocr-1.4.0"))
    assert ran["quantize"][-4:] == ["--data", "images", "--budget", "300.0"]


def test_ci_gives_each_step_the_options_that_are_its_own(
    ran: dict[str, Sequence[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "release.key"
    key.touch()
    assert run(tmp_path, "ci", "--strict", "--version", "1.4.0", "--dist", "there", "--key", str(key)) == 0
    assert ran["quantize"][4:] == []
    assert ran["evaluate"][4:] == ["--strict"]
    assert ran["release"][4:] == ["--strict", "--version", "1.4.0", "--dist", "there", "--key", str(key)]
    assert ran["targets"][4:] == ["--version", "1.4.0"]


def test_without_a_version_ci_bundles_a_trial_that_the_next_one_replaces(
    ran: dict[str, Sequence[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = tmp_path / "ocr" / "ci"
    for _ in range(2):
        assert run(tmp_path, "ci", "--dist", str(tmp_path / "dist")) == 0
        assert json.loads(capsys.readouterr().out)["bundle"] == str(trial / "ocr-0.0.0-ci")
        assert ran["release"][4:] == ["--version", "0.0.0-ci", "--dist", str(trial)]
        assert not trial.exists()
        (trial / "ocr-0.0.0-ci").mkdir(parents=True)


@pytest.mark.parametrize("version", ["1.4", "1.4.0+build"])
def test_ci_refuses_a_version_that_a_release_or_an_image_cannot_have(
    version: str, ran: dict[str, Sequence[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "ci", "--version", version) == 2
    assert (ran, json.loads(capsys.readouterr().out)["error"]) == ({}, "BadParameter")


def test_a_step_is_a_process_whose_exit_code_is_that_of_the_command(tmp_path: Path) -> None:
    assert ci.run(Step("Write", "targets", "ocr"), ["--build", str(tmp_path), "--only", "ci"]) == 0
    assert (tmp_path / "ocr" / "targets" / "ci" / "github.yml").is_file()
    assert ci.run(Step("Write", "targets", "nope"), ["--build", str(tmp_path)]) == 3
