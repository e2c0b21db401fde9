"""The history: nothing that was entered is lost, and every change is entered, whatever became of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from toolkit.errors import ServiceError, SmokeError
from toolkit.supervisor import journal, lock
from toolkit.supervisor.journal import JOURNAL_FILE, Entry


def test_what_was_entered_is_read_in_its_order_without_torn_lines(tmp_path: Path) -> None:
    entries = [Entry(journal.now(), "me@here", "deploy", "", f"ocr-{number}") for number in range(3)]
    journal.append(tmp_path, entries[0])
    with (tmp_path / JOURNAL_FILE).open("a") as file:
        file.write('{"time": "2026-01-01T00:00:00Z", "wh')
    for entry in entries[1:]:
        journal.append(tmp_path, entry)
    assert journal.read(tmp_path) == entries


def test_no_history_is_an_empty_one_and_newer_fields_do_no_harm(tmp_path: Path) -> None:
    assert journal.read(tmp_path) == []
    (tmp_path / JOURNAL_FILE).write_text('{"time": "t", "who": "w", "what": "deploy", "canary": 10}\n[]\n')
    assert journal.read(tmp_path) == [Entry("t", "w", "deploy")]


def test_a_change_is_entered_with_its_result(tmp_path: Path) -> None:
    with journal.noted(tmp_path, "deploy", "ocr-1", "ocr-2"):
        pass
    with pytest.raises(SmokeError), journal.noted(tmp_path, "rollback", "ocr-2", "ocr-1"):
        raise SmokeError("it says something else")
    with pytest.raises(KeyboardInterrupt), journal.noted(tmp_path, "deploy", "ocr-2", "ocr-3"):
        raise KeyboardInterrupt
    told = [(item.what, item.before, item.after, item.result, item.reason) for item in journal.read(tmp_path)]
    assert told == [
        ("deploy", "ocr-1", "ocr-2", "success", ""),
        ("rollback", "ocr-2", "ocr-1", "failed", "it says something else"),
        ("deploy", "ocr-2", "ocr-3", "interrupted", "Ctrl-C, or a signal to end"),
    ]
    assert [item.exit_code for item in journal.read(tmp_path)] == [0, SmokeError.exit_code, 130]
    assert '"from": "ocr-2", "to": "ocr-1"' in (tmp_path / JOURNAL_FILE).read_text()
    assert "@" in journal.read(tmp_path)[0].who


def test_who_waits_in_vain_for_the_lock_is_told_who_has_it_since_when_and_why(tmp_path: Path) -> None:
    with (
        lock.exclusive(tmp_path, "deploy ocr-2"),
        pytest.raises(ServiceError, match=rf"{journal.me()}, since 2\d\d\d-.*Z: deploy ocr-2"),
        lock.exclusive(tmp_path, "stop", wait=0.05),
    ):
        pass
    assert lock.holder(tmp_path) is None


def test_a_change_whose_process_was_killed_is_entered_by_the_next_one(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        with lock.exclusive(tmp_path, "deploy ocr-2"):
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    with lock.exclusive(tmp_path, "deploy ocr-3"):
        pass
    (entry,) = journal.read(tmp_path)
    assert (entry.what, entry.after, entry.result) == ("deploy", "ocr-2", "interrupted")
    assert "killed" in entry.reason
