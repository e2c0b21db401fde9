from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from toolkit.store.artifact import MANIFEST, Artifact, Key, Store

KEY = Key("export", "det", {"model": "abc", "threads": 1})

# A builder in a process of its own: says that it has begun, and works on until the file `go` is there.
BUILDER = """
import sys, time
from pathlib import Path
from toolkit.store.artifact import Key, Store

directory, name = Path(sys.argv[1]), sys.argv[2]

def builder(workplace):
    (workplace / "part").write_text("half")
    (directory / f"began-{name}").touch()
    while not (directory / "go").exists():
        time.sleep(0.01)
    (workplace / "part").write_text("whole")
    return {"by": name}

key = Key("export", "det", {"model": "abc", "threads": 1})
print(Store(directory / "store").build(key, builder).info["by"])
"""


class Builder:
    """Writes the content that it is made with, and counts how often it is called."""

    def __init__(self, content: str = "content") -> None:
        self.content = content
        self.calls = 0

    def __call__(self, workplace: Path) -> Mapping[str, Any]:
        self.calls += 1
        (workplace / "sub").mkdir()
        (workplace / "sub" / "file").write_text(self.content)
        return {"calls": self.calls}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def processes(tmp_path: Path, *names: str) -> list[subprocess.Popen[str]]:
    return [
        subprocess.Popen(
            [sys.executable, "-c", BUILDER, str(tmp_path), name], stdout=subprocess.PIPE, text=True
        )
        for name in names
    ]


def wait_for(tmp_path: Path, pattern: str) -> list[Path]:
    deadline = time.monotonic() + 30
    while not (found := list(tmp_path.glob(pattern))):
        assert time.monotonic() < deadline, f"{pattern} did not come"
        time.sleep(0.01)
    return found


def content(artifact: Artifact) -> str:
    return (artifact.path / "sub" / "file").read_text()


def test_the_same_key_is_not_built_again(store: Store) -> None:
    builder = Builder()
    first = store.build(KEY, builder)
    again = Store(store.directory).build(Key("export", "det", {"threads": 1, "model": "abc"}), builder)
    assert builder.calls == 1
    assert again == first == store.get(KEY)
    assert again.info == {"calls": 1}


@pytest.mark.parametrize(
    "other",
    [
        Key("export", "det", {"model": "abc", "threads": 2}),
        Key("export", "det", {"model": "abc"}),
        Key("export", "rec", {"model": "abc", "threads": 1}),
        Key("convert", "det", {"model": "abc", "threads": 1}),
    ],
)
def test_another_ingredient_stage_or_name_is_another_artifact(store: Store, other: Key) -> None:
    first = store.build(KEY, Builder("first"))
    assert store.get(other) is None
    second = store.build(other, Builder("second"))
    assert second.path != first.path
    assert (content(first), content(second)) == ("first", "second")


def test_the_manifest_tells_what_went_in_and_what_came_out(store: Store) -> None:
    artifact = store.build(KEY, Builder("你好"))
    manifest = json.loads((artifact.path / MANIFEST).read_text(encoding="utf-8"))
    data = "你好".encode()
    assert manifest.pop("created")[-1] == "Z"
    assert 0 <= manifest.pop("seconds") < 60
    assert manifest == {
        "stage": "export",
        "name": "det",
        "key": KEY.digest,
        "ingredients": {"model": "abc", "threads": 1},
        "info": {"calls": 1},
        "files": {"sub/file": {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}},
    }


def test_an_artifact_can_be_read_by_others(store: Store) -> None:
    assert store.build(KEY, Builder()).path.stat().st_mode & 0o777 == 0o755


def test_a_builder_that_raises_leaves_nothing(store: Store) -> None:
    def builder(workplace: Path) -> Mapping[str, Any]:
        (workplace / "half").write_text("half")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        store.build(KEY, builder)
    assert store.get(KEY) is None
    assert list((store.directory / "partial").iterdir()) == []
    assert content(store.build(KEY, Builder())) == "content"


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "sub" / "file").write_text("CONTENT"),
        lambda path: (path / "sub" / "file").write_text("longer content"),
        lambda path: (path / "sub" / "file").unlink(),
        lambda path: (path / "batch_999.npz").write_text("added"),
        lambda path: (path / MANIFEST).unlink(),
        lambda path: (path / MANIFEST).write_text("{"),
        lambda path: (path / MANIFEST).write_text("[]"),
        lambda path: (path / MANIFEST).write_text('{"files": {}}'),
    ],
)
def test_an_artifact_that_was_changed_is_noticed_and_built_again(store: Store, damage: Any) -> None:
    builder = Builder()
    path = store.build(KEY, builder).path
    damage(path)
    assert store.get(KEY) is None
    rebuilt = store.build(KEY, builder)
    assert builder.calls == 2
    assert sorted(item.name for item in rebuilt.path.iterdir()) == [MANIFEST, "sub"]
    assert store.get(KEY) == rebuilt


def test_code_that_python_compiled_in_an_artifact_does_not_change_it(store: Store) -> None:
    artifact = store.build(KEY, Builder())
    (artifact.path / "__pycache__").mkdir()
    (artifact.path / "__pycache__" / "ops.pyc").touch()
    assert store.get(KEY) == artifact


def test_what_a_killed_builder_left_is_not_trusted_and_is_cleared(tmp_path: Path, store: Store) -> None:
    (process,) = processes(tmp_path, "first")
    wait_for(tmp_path, "began-first")
    (left,) = (store.directory / "partial").iterdir()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert (left / "part").read_text() == "half"
    assert store.get(KEY) is None

    assert content(store.build(KEY, Builder())) == "content"
    assert list((store.directory / "partial").iterdir()) == []


def test_what_is_in_work_under_another_key_is_left_alone(tmp_path: Path, store: Store) -> None:
    (process,) = processes(tmp_path, "first")
    wait_for(tmp_path, "began-first")
    store.build(Key("export", "rec", {}), Builder())
    (tmp_path / "go").touch()
    assert process.communicate()[0] == "first\n"
    found = store.get(KEY)
    assert found is not None
    assert (found.path / "part").read_text() == "whole"


def test_of_two_builders_of_one_key_one_builds_and_the_other_takes_its_result(
    tmp_path: Path, store: Store
) -> None:
    both = processes(tmp_path, "one", "two")
    (began,) = wait_for(tmp_path, "began-*")
    time.sleep(0.3)
    (tmp_path / "go").touch()
    by = [process.communicate()[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert by == [began.name.partition("-")[2]] * 2
    assert list(tmp_path.glob("began-*")) == [began]
