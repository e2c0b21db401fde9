"""`toolkit deploy --canary` for people and programs: what is told, the exit code, and what the journal keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_main import run
from tests.supervisor.stage import Asking, Stage, make_release, stage
from toolkit.cli import deploy
from toolkit.supervisor import control, journal

TEXT = "a page"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Path]]:
    """`one` serves; `two` answers alike, `wrong` does not."""
    folder = tmp_path_factory.mktemp("build")
    for name, text in (("one", TEXT), ("two", TEXT), ("wrong", "a cage")):
        make_release(folder / "releases" / name, text, delay=0.02, standby="none")
    with pytest.MonkeyPatch.context() as patch, stage(folder, patch) as made:
        made.home = folder / "ocr"
        control.launch(made.home, made.target(folder / "releases" / "one"))
        yield made, folder
        control.stop(made.home)


@pytest.fixture
def to_deploy(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What the stages are said to have built."""
    found: list[Path] = []

    def built(context: Any, result: dict[str, Any]) -> tuple[Path, Any]:
        result["report"] = ""
        return found[0], {}

    monkeypatch.setattr(deploy, "_built", built)
    monkeypatch.setattr(deploy.results, "essentials", lambda evaluation: evaluation)
    return found


def told(here: tuple[Stage, Path], capsys: pytest.CaptureFixture[str], percent: int = 20) -> tuple[int, Any]:
    with Asking(here[0].state) as asking:
        code = run("deploy", "--json", *options(here, percent))
    assert asking.problems == []
    return code, json.loads(capsys.readouterr().out)


def options(here: tuple[Stage, Path], percent: int) -> list[str]:
    made, folder = here
    ports = ["--http-port", str(made.settings.http_port), "--grpc-port", str(made.settings.grpc_port)]
    return ["--build", str(folder), "--replicas", "1", *ports, "--canary", str(percent)]


def test_a_bad_release_ends_with_13_and_the_reason_is_in_the_journal_too(
    here: tuple[Stage, Path], to_deploy: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    made, folder = here
    to_deploy.append(folder / "releases" / "wrong")
    code, found = told(here, capsys)
    assert (code, found["exit_code"]) == (13, 13)
    assert "answers differ by 16.7 %" in found["message"]
    assert made.read() == TEXT
    entry = journal.read(made.home)[-1]
    assert (entry.what, entry.result, entry.exit_code) == ("deploy", journal.FAILED, 13)
    assert "answers differ by 16.7 %" in entry.reason
    kept = json.loads((made.home / "result.json").read_text())
    assert (kept["canary"][-1]["percent"], kept["canary"][-1]["result"]) == (20, "failure")


def test_a_good_release_tells_of_all_its_analyses_and_a_second_time_there_is_none(
    here: tuple[Stage, Path], to_deploy: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    made, folder = here
    to_deploy.append(folder / "releases" / "two")
    code, found = told(here, capsys)
    assert code == 0
    assert [item["percent"] for item in found["canary"] if item["result"] == "success"] == [20, 30]
    assert {item["name"] for item in found["canary"][0]["measurements"]} == {"errors", "latency", "answers"}
    assert made.state.release == str(folder / "releases" / "two")
    assert journal.read(made.home)[-1].result == journal.SUCCESS
    code, found = told(here, capsys)
    assert (code, found["canary"]) == (0, [])


def test_a_release_that_serves_already_is_not_tried_against_itself(
    here: tuple[Stage, Path],
    to_deploy: list[Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = here[0]
    monkeypatch.setattr(deploy, "_print", lambda *_: None)
    to_deploy.append(Path(made.state.release))
    assert run("deploy", *options(here, 20)) == 0
    assert "this release serves already: there is nothing to compare it with" in capsys.readouterr().err


@pytest.mark.parametrize("percent", [0, 100])
def test_a_share_is_neither_nothing_nor_all(
    percent: int, here: tuple[Stage, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(here, capsys, percent)[0] == 2
