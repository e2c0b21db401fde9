"""Which builder is taken, and how it is called: by programs that stand in for docker, podman and buildah."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.errors import ChildError, ServiceError, SpecError
from toolkit.targets import image
from toolkit.targets.image import BUILDERS, Builder

DIGEST = "python:3.9-slim-bookworm@sha256:" + "a" * 64


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs, the only one that is looked into."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_the_first_that_works_is_taken_and_a_client_without_its_daemon_does_not(programs: Path) -> None:
    install(programs, "docker", "echo 'Client: 28.2'; echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    install(programs, "buildah", "exit 0")
    assert image.find().program == "buildah"
    install(programs, "podman", "exit 0")
    assert image.find().program == "podman"
    install(programs, "docker", "exit 0")
    assert image.find().program == "docker"


def test_where_none_works_each_is_told_with_its_reason(programs: Path) -> None:
    install(programs, "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    with pytest.raises(ServiceError) as caught:
        image.find()
    assert "docker: Cannot connect to the Docker daemon; podman: not installed" in caught.value.message
    assert "apt-get install podman" in str(caught.value.remedy)


def test_a_builder_that_gives_no_answer_does_not_work(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image, "_LOOK_SECONDS", 0.2)
    install(programs, "docker", "exec /bin/sleep 60")
    with pytest.raises(ServiceError, match="docker: gives no answer"):
        image.find(BUILDERS[:1])


@pytest.mark.parametrize("base", [DIGEST, "localhost/python:3.9"])
def test_a_base_that_stays_the_same_is_taken(base: str) -> None:
    image.check_base(base)


@pytest.mark.parametrize(
    "base", ["python", "python:3.9-slim", "python:latest", "localhost/python", "localhost/python:latest", ""]
)
def test_a_base_that_may_change_is_refused(base: str) -> None:
    with pytest.raises(SpecError, match="may be another one tomorrow"):
        image.check_base(base)


def test_the_builder_is_told_tag_base_and_folder_and_its_output_is_kept(
    programs: Path, tmp_path: Path
) -> None:
    install(programs, "podman", 'echo "$@"; echo done >&2')
    builder = image.find()
    log = tmp_path / "logs" / "image.log"
    image.build(builder, tmp_path, "localhost/ocr:1.4.0", DIGEST, log, ["--network=host"])
    assert log.read_text().splitlines() == [
        f"build --format=docker --tag localhost/ocr:1.4.0 --build-arg BASE={DIGEST} --network=host {tmp_path}",
        "done",
    ]


def test_a_build_that_fails_is_an_error_with_the_end_of_its_log(programs: Path, tmp_path: Path) -> None:
    install(programs, "tool", "echo 'no space left on device'; exit 3")
    log = tmp_path / "image.log"
    with pytest.raises(ChildError, match=r"exit code 3(.|\n)*no space left") as caught:
        image.build(Builder("tool", ("build",)), tmp_path, "t:1", DIGEST, log)
    assert caught.value.where == str(log)
