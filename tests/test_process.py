from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toolkit import process

# Ignores SIGTERM, as does what it starts; says when both are ready.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(sys.argv) > 1:
    subprocess.Popen([sys.executable, __file__], stdout=sys.stdout)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def stubborn(tmp_path: Path) -> Path:
    file = tmp_path / "stubborn.py"
    file.write_text(STUBBORN)
    return file


def start(*argv: str, lines: int = 1) -> subprocess.Popen[bytes]:
    started = process.start([sys.executable, *argv])
    assert started.stdout is not None
    for _ in range(lines):
        assert started.stdout.readline() == b"ready\n"
    return started


def end(started: subprocess.Popen[bytes]) -> int:
    started.communicate(timeout=5)
    return started.returncode


def test_a_process_that_heeds_sigterm_is_not_killed() -> None:
    started = start("-c", "import time; print('ready', flush=True); time.sleep(60)")
    assert process.stop_group(started.pid, grace=5)
    assert end(started) == -signal.SIGTERM


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace(stubborn: Path) -> None:
    started = start(str(stubborn))
    begun = time.monotonic()
    assert not process.stop_group(started.pid, grace=0.3)
    assert 0.3 <= time.monotonic() - begun < 3
    assert end(started) == -signal.SIGKILL


def test_what_a_process_started_is_ended_too(stubborn: Path) -> None:
    started = start(str(stubborn), "with a child", lines=2)
    started.kill()
    started.wait()
    assert process.group_alive(started.pid)
    process.stop_group(started.pid, grace=0.1)
    assert not process.group_alive(started.pid)
    end(started)


def test_without_grace_it_is_killed_at_once(stubborn: Path) -> None:
    started = start(str(stubborn))
    process.stop_group(started.pid, grace=0)
    assert end(started) == -signal.SIGKILL


def test_stopping_what_has_ended_does_nothing() -> None:
    started = process.start([sys.executable, "-c", ""])
    started.communicate()
    assert not process.group_alive(started.pid)
    assert process.stop_group(started.pid, grace=5)


def test_a_zombie_is_not_alive() -> None:
    started = process.start([sys.executable, "-c", ""], stdout=None, stderr=None)
    deadline = time.monotonic() + 10
    while process.group_alive(started.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not process.group_alive(started.pid)
    assert started.wait() == 0


def test_output_exit_code_and_environment_of_a_finished_process(tmp_path: Path) -> None:
    code = (
        "import os, sys; print(os.environ['ADDED'], os.getcwd()); print('err', file=sys.stderr); sys.exit(3)"
    )
    done = process.run([sys.executable, "-c", code], env={"ADDED": "yes"}, cwd=tmp_path)
    assert done == process.Completed(3, f"yes {tmp_path}\n", "err\n")


def test_nothing_is_read_from_the_terminal_and_no_shell_is_in_between() -> None:
    done = process.run(
        [sys.executable, "-c", "import sys; print(sys.argv[1], repr(sys.stdin.read()))", "$HOME;*"]
    )
    assert done.stdout == "$HOME;* ''\n"


def test_a_process_that_takes_too_long_is_killed_with_what_it_started(stubborn: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        process.run([sys.executable, str(stubborn), "with a child"], timeout=1)
    assert time.monotonic() - begun < 8


def test_a_variable_can_be_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "1")
    code = "import os; print(os.environ.get('MINE'), os.environ['OTHER'])"
    done = process.run([sys.executable, "-c", code], env={"MINE": None, "OTHER": "2"})
    assert done.stdout == "None 2\n"
