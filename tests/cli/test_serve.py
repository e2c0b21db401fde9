"""`toolkit serve --release`: what a container runs, without anything to build from."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.test_templates import variables
from toolkit import templates
from toolkit.cli import main as program
from toolkit.serving import release
from toolkit.supervisor import control
from toolkit.supervisor.deployed import Target
from toolkit.supervisor.settings import Settings

Started = tuple[Path, Target]


@pytest.fixture(autouse=True)
def nothing_stays_changed() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Started]:
    """What would have become the service."""
    calls: list[Started] = []

    def serve(home: Path, target: Target) -> NoReturn:
        calls.append((home, target))
        raise SystemExit(0)

    monkeypatch.setattr(control, "serve", serve)
    return calls


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        program.main(["serve", *arguments])
    return int(ended.value.code or 0)


def test_a_release_is_served_from_where_it_lies_in_a_home_of_its_own_name(
    tmp_path: Path, started: list[Started]
) -> None:
    directory, build = tmp_path / "tiny-1.4.0", tmp_path / "run"
    directory.mkdir()
    text, _ = templates.render_yaml("serving/release.yml.j2", **variables())
    (directory / release.RELEASE_FILE).write_text(text, encoding="utf-8")
    nowhere = str(tmp_path / "no-pipelines")
    arguments = [
        "--release",
        str(directory),
        "--pipelines",
        nowhere,
        "--build",
        str(build),
        "--replicas",
        "3",
    ]
    assert run(*arguments, "--host", "0.0.0.0") == 0
    assert started == [(build / "tiny", Target(str(directory), Settings("0.0.0.0", 9393, 9394, 3)))]


def test_what_is_no_release_is_not_served(
    tmp_path: Path, started: list[Started], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--release", str(tmp_path), "--json") == 7
    assert json.loads(capsys.readouterr().out)["message"] == "this is no rendered release"
    assert started == []
