"""`toolkit image` and `image-build`: what is refused, and what the builder is given."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.test_templates import variables
from toolkit import templates
from toolkit.cli import main as program
from toolkit.serving.release import RELEASE_FILE
from toolkit.targets import image


@pytest.fixture(autouse=True)
def nothing_stays_changed() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def run(build: Path, command: str, *arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        program.main([command, "--build", str(build), "--json", *arguments])
    return int(ended.value.code or 0)


@pytest.mark.parametrize("command", ["image", "image-build"])
def test_a_base_image_that_may_change_ends_before_anything_is_built(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, command, "--base", "python:3.9-slim") == 3
    assert "@sha256:" in json.loads(capsys.readouterr().out)["remedy"]
    assert list(tmp_path.iterdir()) == []


def test_the_image_of_the_build_side_is_built_from_the_pipelines_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = {}

    def build(
        builder: image.Builder, folder: Path, tag: str, base: str, log: Path, further: Sequence[str]
    ) -> None:
        seen.update(
            tag=tag,
            base=base,
            further=list(further),
            spec=(folder / "pipelines/ocr/pipeline.yml").read_text(),
        )

    monkeypatch.setattr(image, "find", lambda builders: builders[-1])
    monkeypatch.setattr(image, "build", build)
    arguments = [
        "--base",
        "localhost/python:3.9",
        "--version",
        "1.4.0",
        "--builder",
        "podman",
        "--",
        "--network=host",
    ]
    assert run(tmp_path, "image-build", *arguments) == 0
    assert json.loads(capsys.readouterr().out) == {"image": "localhost/ocr-build:1.4.0", "builder": "podman"}
    assert seen.pop("spec").startswith("# yaml-language-server")
    assert seen == {
        "tag": "localhost/ocr-build:1.4.0",
        "base": "localhost/python:3.9",
        "further": ["--network=host"],
    }


def test_the_release_of_another_pipeline_is_not_put_into_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(image, "find", lambda builders: builders[0])
    text, _ = templates.render_yaml("serving/release.yml.j2", **variables())
    (tmp_path / RELEASE_FILE).write_text(text, encoding="utf-8")
    assert run(tmp_path, "image", "--base", "localhost/python:3.9", "--release", str(tmp_path)) == 3
    assert "one of tiny, not of ocr" in json.loads(capsys.readouterr().out)["message"]


def test_a_release_for_other_hardware_is_not_put_into_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(image, "find", lambda builders: builders[0])
    _, data = templates.render_yaml("serving/release.yml.j2", **variables())
    told = {**data, "name": "ocr", "target": "nvidia-gpu"}
    (tmp_path / RELEASE_FILE).write_text(json.dumps(told), encoding="utf-8")
    assert run(tmp_path, "image", "--base", "localhost/python:3.9", "--release", str(tmp_path)) == 3
    assert "is for nvidia-gpu, the spec for x86-cpu" in json.loads(capsys.readouterr().out)["message"]
