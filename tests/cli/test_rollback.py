"""Going back and looking back, as users do: `toolkit rollback`, `history`, `launch` after a reboot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_main import run
from tests.supervisor.stage import Stage, make_release, stage
from toolkit.errors import ServiceError, SmokeError
from toolkit.supervisor import control, deployed, journal
from toolkit.supervisor.deployed import Deployed
from toolkit.supervisor.journal import Entry
from toolkit.supervisor.switch import switch


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Path]]:
    """`two` serves, `one` did before; each with an FP32 variant."""
    folder = tmp_path_factory.mktemp("build")
    for name in ("one", "two"):
        make_release(folder / "releases" / name, name)
        make_release(folder / "releases" / name / "fp32", f"{name} in fp32")
    with pytest.MonkeyPatch.context() as patch, stage(folder, patch) as made:
        made.home = folder / "ocr"
        control.launch(made.home, made.target(folder / "releases" / "one"))
        switch(made.home, made.target(folder / "releases" / "two"), lambda state: None)
        yield made, folder
        control.stop(made.home)


def told(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run(*arguments, "--json", "--build", str(folder)) == 0
    return json.loads(capsys.readouterr().out)


def test_rollback_goes_to_the_release_before_and_back(
    here: tuple[Stage, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    service, folder = here
    pid = service.state.pid
    found = told(folder, capsys, "rollback")
    assert (found["release"], found["pid"]) == (str(folder / "releases" / "one"), pid)
    assert found["smoke"]["goldens"] == ["64.png", "80.png"]
    assert service.read() == "one"
    assert run("rollback", "--build", str(folder)) == 0
    assert "two serves; it served after" in capsys.readouterr().out
    assert service.read() == "two"


def test_rollback_to_fp32_is_at_once_and_says_so_and_status_too(
    here: tuple[Stage, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    service, folder = here
    service.wait_for("it stands by", lambda: "standby" in dict(service.replicas()).values())
    assert run("rollback", "--to", "fp32", "--build", str(folder)) == 0
    assert "two in FP32 serves; it served after 0.0 s by a replica that stood by" in capsys.readouterr().out
    assert service.read() == "two in fp32"
    run("status", "--build", str(folder))
    assert "its FP32 variant" in capsys.readouterr().out
    assert told(folder, capsys, "rollback", "--to", "int8")["rollout"]["warm"] is False
    assert service.read() == "two"


def test_launch_restores_what_was_deployed_with_its_variant_and_ports(
    here: tuple[Stage, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    service, folder = here
    told(folder, capsys, "rollback", "--to", "fp32")
    assert run("stop", "--build", str(folder)) == 0
    capsys.readouterr()
    found = told(folder, capsys, "launch")
    assert (found["variant"], found["settings"]["http_port"]) == ("fp32", service.settings.http_port)
    assert service.read() == "two in fp32"
    told(folder, capsys, "rollback", "--to", "release")


def test_the_history_has_every_change_and_who_made_it(
    here: tuple[Stage, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = here
    entries = told(folder, capsys, "history", "-n", "3")
    assert [(entry["what"], entry["from"], entry["to"], entry["result"]) for entry in entries] == [
        ("stop", "two in FP32", "", "success"),
        ("launch", "", "two in FP32", "success"),
        ("rollback", "two in FP32", "two", "success"),
    ]
    assert {entry["who"] for entry in entries} == {journal.me()}
    assert run("history", "--build", str(folder)) == 0
    assert "two in FP32 -> two  by " in capsys.readouterr().out


def test_a_rollback_to_a_release_that_is_gone_changes_nothing_and_is_entered(
    here: tuple[Stage, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    service, folder = here
    one = folder / "releases" / "one"
    one.rename(one.with_name("away"))
    try:
        assert run("rollback", "--build", str(folder)) == ServiceError.exit_code
    finally:
        one.with_name("away").rename(one)
    assert "one is not there any more" in capsys.readouterr().err
    assert service.read() == "two"


def test_a_release_that_fails_the_smoke_test_is_taken_back_with_its_exit_code(
    here: tuple[Stage, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, folder = here

    def refuse(*_: object) -> None:
        raise SmokeError("it says something else")

    monkeypatch.setattr("toolkit.cli.rollback.ask", refuse)
    assert run("rollback", "--build", str(folder)) == SmokeError.exit_code
    assert "the release before serves again" in capsys.readouterr().err
    assert service.read() == "two"
    entry = journal.read(service.home)[-1]
    assert (entry.after, entry.result, entry.exit_code) == ("one", "failed", SmokeError.exit_code)
    assert "it says something else" in entry.reason


def test_where_nothing_was_deployed_or_nothing_before_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], here: tuple[Stage, Path]
) -> None:
    assert run("rollback", "--build", str(tmp_path)) == ServiceError.exit_code
    assert "has not been deployed yet" in capsys.readouterr().err
    assert run("history", "--build", str(tmp_path)) == 0
    assert "has not been deployed yet" in capsys.readouterr().out
    deployed.record(tmp_path / "ocr", here[0].target(tmp_path))
    assert deployed.read(tmp_path / "ocr") == Deployed(here[0].target(tmp_path))
    assert run("rollback", "--build", str(tmp_path)) == ServiceError.exit_code
    assert "no other release served before" in capsys.readouterr().err


def test_an_entry_with_a_reason_takes_two_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = Entry("2026-01-02T03:04:05Z", "me@here", "deploy", "one", "two", "failed", "no\nbut why", 8)
    journal.append(tmp_path / "ocr", entry)
    assert run("history", "--build", str(tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "2026-01-02T03:04:05Z  deploy    failed       one -> two  by me@here",
        " " * 22 + "no",
    ]
