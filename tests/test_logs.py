from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from toolkit import logs


def test_a_log_is_moved_aside_when_it_is_large_and_three_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_BYTES", 100)
    handler = logs.rotating(tmp_path / "a.log", "%(message)s")
    for number in range(100):
        handler.emit(logging.makeLogRecord({"msg": f"line {number:03}"}))
    handler.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["a.log", "a.log.1", "a.log.2", "a.log.3"]
    assert "line 099" in (tmp_path / "a.log").read_text()


def test_a_disk_that_is_full_is_no_error_of_the_caller(tmp_path: Path) -> None:
    (tmp_path / "a.log").symlink_to("/dev/full")
    handler = logs.rotating(tmp_path / "a.log")
    handler.emit(logging.makeLogRecord({"msg": "lost"}))


def test_a_file_that_others_append_to_is_emptied_and_they_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_BYTES", 10)
    path = tmp_path / "output.log"
    with path.open("ab") as output:
        os.write(output.fileno(), b"more than ten bytes")
        logs.trim(path)
        os.write(output.fileno(), b"new")
    assert path.read_bytes() == b"new"
    assert (tmp_path / "output.log.1").read_bytes() == b"more than ten bytes"


def test_a_file_that_is_not_there_is_nothing_to_trim(tmp_path: Path) -> None:
    logs.trim(tmp_path / "nothing")


def test_lines_are_written_by_another_thread_and_all_of_them_by_the_end(tmp_path: Path) -> None:
    logger = logging.Logger("lines", logging.INFO)
    listener = logs.in_background(logger, logs.rotating(tmp_path / "a.log", "%(message)s"))
    for number in range(1000):
        logger.info("%d", number)
    listener.stop()
    assert (tmp_path / "a.log").read_text().split() == [str(number) for number in range(1000)]
