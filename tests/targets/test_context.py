"""What goes into an image: the part of the lock, the code, the release."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.targets.examples import ocr
from tests.targets.test_container import DOCKERFILES, instructions
from toolkit import pipeline
from toolkit.spec.load import load
from toolkit.targets import context, packages


@pytest.fixture(scope="module")
def needed() -> dict[str, str]:
    return dict(packages.requirements("ocr"))


def pinned(requirements: str) -> set[str]:
    return set(re.findall(r"^([\w.-]+)==", requirements, flags=re.MULTILINE))


def test_a_service_gets_what_it_imports_and_no_tools_of_developers(needed: dict[str, str]) -> None:
    names = pinned(needed["service.txt"])
    assert {"paddlepaddle", "grpcio", "rapidocr-paddle", "uvicorn", "numpy"} <= names
    assert not names & {"mypy", "ruff", "selenium", "schemathesis", "uv", "pre-commit", "kubernetes-validate"}
    assert pinned(needed["installer.txt"]) == set(packages.INSTALLER)


def test_whatever_a_package_asks_for_is_there_too(needed: dict[str, str]) -> None:
    names = pinned(needed["service.txt"]) | pinned(needed["installer.txt"])
    locked = pinned(packages.LOCK.read_text())
    for name in names:
        for line in metadata.requires(name) or ():
            found = Requirement(line)
            asked = re.sub(r"[-_.]+", "-", found.name).lower()
            # What the overrides of the lock take out is in nobody's way.
            if asked in locked and (found.marker is None or found.marker.evaluate({"extra": ""})):
                assert asked in names, f"{name} needs {asked}"


def test_every_package_is_pinned_by_hashes(needed: dict[str, str]) -> None:
    for requirements in needed.values():
        blocks = re.split(r"^(?=[\w.-]+==)", requirements, flags=re.MULTILINE)[1:]
        assert blocks
        assert all("--hash=sha256:" in block for block in blocks)
        assert "#" not in requirements


def test_without_an_extra_of_its_own_a_pipeline_gets_what_every_service_needs() -> None:
    names = pinned(packages.requirements("other")["service.txt"])
    assert "paddlepaddle" in names
    assert "rapidocr-paddle" not in names


def test_an_engine_comes_with_the_models_that_run_in_it() -> None:
    assert "openvino" not in pinned(packages.requirements("ocr", ["paddle"])["service.txt"])
    assert "openvino" in pinned(packages.requirements("ocr", ["openvino", "paddle"])["service.txt"])


@pytest.fixture
def assembled(tmp_path: Path) -> Iterator[Path]:
    release = tmp_path / "release"
    (release / "models").mkdir(parents=True)
    (release / "models" / "weights").write_text("w")
    (release / "models" / "weights").chmod(0o600)
    with context.assembled("ocr", "FROM x\n", tmp_path, release, ocr().directory) as folder:
        yield folder


@pytest.mark.parametrize("file", DOCKERFILES)
def test_all_that_a_dockerfile_copies_is_in_the_folder_and_nothing_else(file: str, assembled: Path) -> None:
    copied = {
        rest.split(" ")[0].rstrip("/")
        for word, rest in instructions("ocr", file)
        if word == "COPY" and not rest.startswith("--from")
    }
    there = {path.name for path in assembled.iterdir()}
    assert copied <= there
    assert there == {
        *("requirements", "requirements.lock", "toolkit", "templates", "release", "pipelines", "Dockerfile")
    }


def test_the_toolkit_runs_from_the_folder(assembled: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", "serve", "--json", "--release", "release"],
        cwd=assembled,
        env={**os.environ, "PYTHONPATH": str(assembled)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert json.loads(done.stdout)["message"] == "this is no rendered release", done.stderr


def test_whoever_runs_the_container_may_read_it(assembled: Path) -> None:
    modes = {path.stat().st_mode & 0o777 for path in assembled.rglob("*")}
    assert modes == {0o755, 0o644}


def test_code_that_a_pipeline_uses_of_another_one_comes_along(tmp_path: Path) -> None:
    plan = load(ocr().directory.parent, "orientation")
    spec, code = plan.directory, plan.data.code
    with context.assembled("orientation", "FROM x\n", tmp_path, spec=spec, code=code) as folder:
        assert (folder / "pipelines" / "orientation" / "pipeline.yml").is_file()
        pipeline.resolve(folder / "pipelines" / "ocr", "pages:build")


def test_the_folder_is_gone_afterwards(tmp_path: Path) -> None:
    with context.assembled("ocr", "FROM x\n", tmp_path) as folder:
        assert (folder / "Dockerfile").read_text() == "FROM x\n"
    assert list(tmp_path.iterdir()) == []
