"""The record of the service: it names a process for good, whatever pids and clocks do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from toolkit.supervisor import state as states
from toolkit.supervisor.settings import Settings
from toolkit.supervisor.state import State


def state_of(pid: int, **changes: object) -> State:
    made = State(
        pid=pid,
        created=0.0,
        name="ocr",
        release="/r",
        run_dir="/d",
        settings=Settings("127.0.0.1", 1, 2),
        birth=states.birth_of(pid) or "",
    )
    return replace(made, **changes)


def test_a_process_is_known_by_its_birth_and_not_by_the_clock() -> None:
    assert state_of(os.getpid(), created=1e12).alive


def test_another_process_of_the_same_pid_is_not_taken_for_it() -> None:
    boot, _, tick = str(states.birth_of(os.getpid())).partition("/")
    assert not state_of(os.getpid(), birth=f"{boot}/{int(tick) + 1}").alive
    assert not state_of(os.getpid(), birth="").alive


def test_a_process_that_ended_or_is_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    state = state_of(child.pid)
    assert state.alive
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not state.alive
    child.communicate()
    assert not state.alive


def test_a_record_is_read_back_also_with_keys_that_this_version_does_not_know(tmp_path: Path) -> None:
    state = state_of(os.getpid())
    state.write(tmp_path)
    file = tmp_path / states.STATE_FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), "from the future": 1}))
    assert states.running(tmp_path) == state


def test_no_record_and_a_broken_one_mean_that_nothing_runs(tmp_path: Path) -> None:
    assert states.running(tmp_path) is None
    for text in ("", "[]", "{", '{"pid": 1}'):
        (tmp_path / states.STATE_FILE).write_text(text)
        assert states.running(tmp_path) is None


def test_clients_on_this_machine_reach_a_service_that_listens_everywhere() -> None:
    everywhere = state_of(os.getpid(), settings=Settings("0.0.0.0", 1, 2))
    assert (everywhere.http_url, everywhere.grpc_target) == ("http://127.0.0.1:1", "127.0.0.1:2")
    assert state_of(os.getpid(), settings=Settings("::", 1, 2)).http_url == "http://[::1]:1"
