"""`toolkit serve --release`: what a container runs, without anything to build from."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from tests.bundle import examples
from tests.test_templates import variables
from toolkit import cpu, templates
from toolkit.cli import main as program
from toolkit.serving import release
from toolkit.supervisor import control, deployed
from toolkit.supervisor.deployed import Start, Target
from toolkit.supervisor.settings import Settings


@pytest.fixture(autouse=True)
def nothing_stays_changed() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Start]:
    """What the service would have started with."""
    calls: list[Start] = []

    def serve(starts: Sequence[Start]) -> NoReturn:
        calls.extend(starts)
        raise SystemExit(0)

    monkeypatch.setattr(control, "serve", serve)
    return calls


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        program.main(["serve", *arguments])
    return int(ended.value.code or 0)


def write_release(directory: Path, **changes: Any) -> None:
    directory.mkdir(parents=True)
    _, data = templates.render_yaml("serving/release.yml.j2", **variables())
    (directory / release.RELEASE_FILE).write_text(yaml.safe_dump({**data, **changes}), encoding="utf-8")


def test_a_release_is_served_from_where_it_lies_in_a_home_of_its_own_name(
    tmp_path: Path, started: list[Start]
) -> None:
    directory, build = tmp_path / "tiny-1.4.0", tmp_path / "run"
    write_release(directory)
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
    assert started == [Start(build / "tiny", Target(str(directory), Settings("0.0.0.0", 9393, 9394, 3)))]


def serve(build: Path, directory: Path) -> int:
    return run("--release", str(directory), "--build", str(build), "--json")


def test_of_a_release_that_which_was_judged_for_this_processor_is_served(
    tmp_path: Path, started: list[Start], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "tiny"
    write_release(directory, level="AVX512_CORE_VNNI", levels=["AVX2"])
    for place in ("fp32", "levels/AVX2"):
        write_release(directory / place)
    monkeypatch.setattr(cpu, "levels", lambda: ("AVX2",))
    assert serve(tmp_path / "run", directory) == 0
    assert [start.target.release for start in started] == [str(directory / "levels" / "AVX2")]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle of a version, in a directory of another name, as storage of a cluster gives it to a container."""
    write_release(tmp_path / "rendered")
    text = (tmp_path / "rendered" / release.RELEASE_FILE).read_text()
    made = examples.made(tmp_path / "dist", files={"release/release.yml": text})
    return made.directory.rename(tmp_path / "models")


def test_a_bundle_of_whatever_name_is_served_as_it_was_released(
    bundle: Path, tmp_path: Path, started: list[Start], capsys: pytest.CaptureFixture[str]
) -> None:
    assert serve(tmp_path / "run", bundle) == 0
    assert [start.target.release for start in started] == [str(bundle / "release")]
    with (bundle / "release" / release.RELEASE_FILE).open("a") as file:
        file.write("# changed\n")
    assert serve(tmp_path / "run", bundle) == 12
    assert "release/release.yml has been changed" in json.loads(capsys.readouterr().out)["message"]
    assert len(started) == 1


@pytest.mark.parametrize(
    ("left", "serves"), [("tiny", "fp32"), ("other", "release")], ids=["this release", "another one"]
)
def test_a_restart_takes_back_no_rollback_to_fp32_of_this_release(
    left: str, serves: str, tmp_path: Path, started: list[Start]
) -> None:
    for name in ("tiny", "other"):
        write_release(tmp_path / name)
        write_release(tmp_path / name / "fp32")
    (tmp_path / "run" / "tiny").mkdir(parents=True)
    settings = Settings("127.0.0.1", 9393, 9394)
    deployed.record(tmp_path / "run" / "tiny", Target(str(tmp_path / left), settings, "fp32"))
    assert serve(tmp_path / "run", tmp_path / "tiny") == 0
    assert [start.target.variant for start in started] == [serves]


def test_releases_of_several_pipelines_are_served_together(tmp_path: Path, started: list[Start]) -> None:
    write_release(tmp_path / "tiny")
    write_release(tmp_path / "cls", name="cls")
    arguments = [f"--release={tmp_path / name}" for name in ("tiny", "cls")]
    assert run(*arguments, "--build", str(tmp_path / "run")) == 0
    assert [start.home.name for start in started] == ["tiny", "cls"]


def test_what_is_no_release_is_not_served(
    tmp_path: Path, started: list[Start], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--release", str(tmp_path), "--json") == 7
    assert json.loads(capsys.readouterr().out)["message"] == "this is no rendered release"
    assert started == []
