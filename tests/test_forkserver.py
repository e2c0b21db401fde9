from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.jobs import ENVIRONMENT
from tests.test_child import gone, run, wait_for_work, wait_until_gone
from toolkit.errors import ChildError
from toolkit.forkserver import ForkServer, ServerDied


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "job.log"


def test_one_process_imports_paddle_and_forks_for_all_calls(log: Path) -> None:
    first, loaded = run("server", {}, log)
    assert loaded
    assert run("server", {}, log) == [first, True]


def test_another_environment_at_import_is_another_server(log: Path) -> None:
    (first, _), (second, _) = (
        run("server", {}, log, env={"OMP_DYNAMIC": value}) for value in ("true", "false")
    )
    assert first != second


def test_a_variable_that_was_unset_since_is_not_there(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDNN_TEST", "1")
    assert run("environment", {"name": "ONEDNN_TEST"}, log) == "1"
    monkeypatch.delenv("ONEDNN_TEST")
    assert run("environment", {"name": "ONEDNN_TEST"}, log) is None


def test_a_call_ends_while_one_that_began_later_is_at_work(tmp_path: Path, log: Path) -> None:
    ended = threading.Event()

    def first() -> None:
        run("wait_for", {"file": str(tmp_path / "go")}, log)
        ended.set()

    def second() -> None:
        with pytest.raises(ChildError):
            run("work_long", {"pids": str(tmp_path / "one.pids")}, log)

    threads = [threading.Thread(target=first)]
    threads[0].start()
    time.sleep(0.5)
    threads.append(threading.Thread(target=second))
    threads[1].start()
    worker, _ = wait_for_work(tmp_path, "one")
    (tmp_path / "go").touch()
    assert ended.wait(10)
    assert not gone(worker)
    os.kill(worker, signal.SIGKILL)
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_killed_server_is_an_error_of_what_runs_and_the_next_call_has_a_new_one(
    tmp_path: Path, log: Path
) -> None:
    server, _ = run("server", {}, log)
    killer = threading.Thread(
        target=lambda: (wait_for_work(tmp_path, "one"), os.kill(server, signal.SIGKILL))
    )
    killer.start()
    with pytest.raises(ChildError, match="was killed by SIGKILL"):
        run("work_long", {"pids": str(tmp_path / "one.pids")}, log)
    killer.join()
    wait_until_gone(*wait_for_work(tmp_path, "one"))
    other, _ = run("server", {}, log)
    assert other != server


def test_an_import_that_crashes_is_told_with_its_signal_and_its_words(tmp_path: Path, log: Path) -> None:
    (tmp_path / "crashing.py").write_text("import os\nprint('about to crash', flush=True)\nos.abort()\n")
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": f"{ENVIRONMENT['PYTHONPATH']}:{tmp_path}"}
    with log.open("ab") as output:
        server = ForkServer(["crashing"], environment, output.fileno())
        with pytest.raises(ServerDied) as caught:
            server.fork("tests.jobs:echo", [], environment, output.fileno(), [])
    assert caught.value.code == -signal.SIGABRT
    assert "about to crash" in log.read_text()
    assert not server.alive


def test_an_import_that_fails_is_left_to_those_who_need_it(log: Path) -> None:
    environment: dict[str, Any] = {**os.environ, **ENVIRONMENT}
    with log.open("ab") as output:
        server = ForkServer(["no_such_module"], environment, output.fileno())
        assert server.fork("os:getpid", [], environment, output.fileno(), []).wait() == 0
        assert server.fork("no_such_module:f", [], environment, output.fileno(), []).wait() == 1
    assert "ModuleNotFoundError" in log.read_text()
    assert server.close() == 0
