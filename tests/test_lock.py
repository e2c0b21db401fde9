"""requirements.lock, requirements-overrides.txt and setup.cfg agree, and say nothing about where they were made."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements.lock").read_text()
OVERRIDES = (ROOT / "requirements-overrides.txt").read_text()


def blocks() -> dict[str, str]:
    """What the lock says of each package, by its requirement."""
    found = re.findall(r"^([^\s#].*?) \\\n((?:    .*\n)*)", LOCK, flags=re.MULTILINE)
    return dict(found)


def locked() -> dict[str, str]:
    """Locked version by normalized name."""
    return {canonicalize_name(name): version for name, version in (pin.split("==") for pin in blocks())}


def requirements() -> list[Requirement]:
    """Everything that setup.cfg asks for."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lists = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    lines = [line for text in lists for line in text.splitlines() if line and not line.startswith("#")]
    return [Requirement(line) for line in lines]


def overrides() -> list[Requirement]:
    return [Requirement(line) for line in OVERRIDES.splitlines() if line and not line.startswith("#")]


def test_every_package_is_pinned_and_has_a_hash() -> None:
    names = [line for line in LOCK.splitlines() if line and line[0] not in "# "]
    assert len(blocks()) == len(names) > 50
    for pin, block in blocks().items():
        assert re.fullmatch(r"[a-z0-9.-]+==[\w.+!]+", pin), pin
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", block), pin


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_what_setup_cfg_asks_for_is_locked_in_a_version_that_satisfies_it(requirement: Requirement) -> None:
    assert requirement.specifier.contains(locked()[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("override", overrides(), ids=str)
def test_an_override_is_obeyed(override: Requirement) -> None:
    version = locked().get(canonicalize_name(override.name))
    if override.marker is not None and not override.marker.evaluate():
        assert version is None
    else:
        assert version is not None
        assert override.specifier.contains(version)


def test_every_override_says_who_is_in_the_way_and_why() -> None:
    paragraphs = [paragraph.splitlines() for paragraph in OVERRIDES.strip().split("\n\n")][1:]
    assert len(paragraphs) == len(overrides())
    for *reason, requirement in paragraphs:
        assert reason, f"{requirement} has no comment"
        assert all(line.startswith("# ") for line in reason)
        assert re.match(r"# (paddle|foolbox|openvino)", reason[0]), (
            f"the comment of {requirement} must begin with the package in the way"
        )


def test_exactly_one_opencv_is_locked() -> None:
    assert [name for name in locked() if name.startswith("opencv")] == ["opencv-python-headless"]


def test_the_lock_names_no_host_and_no_path() -> None:
    for trace in ("://", "--index-url", "--extra-index-url", "--find-links", "file:", " @ "):
        assert trace not in LOCK
    comments = {line.strip(" #") for line in LOCK.splitlines() if line.lstrip().startswith("#")}
    assert [comment for comment in comments if "/" in comment] == []


@pytest.mark.parametrize("name", ["onnx", "pir", "device"])
def test_locks_for_elsewhere_are_pinned_with_hashes_too_and_name_no_place(name: str) -> None:
    text = (ROOT / f"requirements-{name}.lock").read_text()
    found = re.findall(r"^([^\s#].*?) \\\n((?:    .*\n)*)", text, flags=re.MULTILINE)
    assert len(found) == len([line for line in text.splitlines() if line and line[0] not in "# "]) > 0
    pins = dict(found)
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}\b", block) for block in pins.values())
    versions = dict(pin.split("==") for pin in pins)
    for line in (ROOT / f"requirements-{name}.in").read_text().splitlines():
        if line and not line.startswith("#"):
            wanted = Requirement(line)
            assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)])
    assert all(trace not in text for trace in ("://", "--index-url", "--find-links", "file:", " @ "))
    assert "#    make lock\n" in text


def test_what_installs_packages_by_itself_is_not_where_paddle2onnx_would_use_it() -> None:
    pins = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements-pir.lock").read_text(), flags=re.MULTILINE)
    assert "paddle2onnx" in pins
    assert not {"polygraphy", "onnxoptimizer"} & set(pins)


def test_make_lock_is_what_the_lock_says_made_it() -> None:
    assert "#    make lock\n" in LOCK
    assert re.search(r"^lock:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
