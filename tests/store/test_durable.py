"""Files that hold the old content or the new, whenever their writer is killed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import killed
from toolkit.store import durable


def test_a_file_is_old_or_new_whichever_step_the_writer_is_killed_at(tmp_path: Path) -> None:
    file = tmp_path / "file"
    seen = []
    file.write_text("old")
    for _ in killed.at_every_line(durable, lambda: durable.write(file, "new " * 1000)):
        seen.append(file.read_text())
        file.write_text("old")
    assert set(seen) == {"old", "new " * 1000}
    assert file.read_text() == "new " * 1000


def test_file_and_directory_are_synced_around_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, steps = tmp_path / "file", []

    def fsync(handle: int) -> None:
        steps.append(Path(f"/proc/self/fd/{handle}").readlink().name)

    real = Path.replace
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", lambda path, target: (steps.append("rename"), real(path, target))[1])
    durable.write(file, "new")
    assert steps == [f".file.{os.getpid()}", "rename", tmp_path.name]


def test_a_write_that_fails_leaves_the_old_content_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    def refuse(handle: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="no space"):
        durable.write(file, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert file.read_text() == "old"


def test_lines_that_were_added_stay_whichever_step_the_next_writer_is_killed_at(tmp_path: Path) -> None:
    file = tmp_path / "file"
    durable.append(file, "first")
    for _ in killed.at_every_line(durable, lambda: durable.append(file, "second")):
        lines = file.read_text().splitlines()
        assert lines[0] == "first"
        assert set(lines[1:]) <= {"second"}
    assert file.read_text().endswith("second\n")


def test_a_torn_line_costs_only_itself(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("first\nsec")
    durable.append(file, "third")
    assert file.read_text() == "first\nsec\nthird\n"
