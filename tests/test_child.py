from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from tests.jobs import ENVIRONMENT, ROOT
from toolkit import child
from toolkit.errors import ChildError, ModelError

# A program with two calls in threads at work when it is interrupted, and more that wait.
PROGRAM = """
import sys
from pathlib import Path
from toolkit import child
from toolkit.errors import ToolkitError

def work(name):
    try:
        child.call("tests.jobs:work_long", {"pids": f"{sys.argv[1]}/{name}.pids"}, log=Path(sys.argv[1]) / "log")
    except ToolkitError as error:
        print("taken for a result:", error)

try:
    if sys.argv[2] == "parallel":
        with child.parallel(2) as pool:
            for future in [pool.submit(work, name) for name in ("one", "two", "three")]:
                future.result()
    else:
        work("one")
except KeyboardInterrupt:
    print("interrupted")
"""


def run(name: str, arguments: Mapping[str, Any], log: Path, **options: Any) -> Any:
    options["env"] = {**ENVIRONMENT, **options.get("env", {})}
    return child.call(f"tests.jobs:{name}", arguments, log=log, **options)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "job.log"


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"


def wait_until_gone(*pids: int) -> None:
    deadline = time.monotonic() + 5
    while not all(gone(pid) for pid in pids):
        assert time.monotonic() < deadline, "a process was left behind"
        time.sleep(0.02)


def start_program(tmp_path: Path, how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path), how],
        env={**os.environ, **ENVIRONMENT},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_work(tmp_path: Path, *names: str) -> list[int]:
    files = [tmp_path / f"{name}.pids" for name in names]
    deadline = time.monotonic() + 30
    while not all(file.is_file() for file in files):
        assert time.monotonic() < deadline, "the children did not start"
        time.sleep(0.02)
    return [int(pid) for file in files for pid in file.read_text().split()]


def test_the_result_comes_back_as_json_carries_it(log: Path) -> None:
    value = {"text": "你好", "numbers": [1, 2.5, None]}
    assert run("echo", {"value": value}, log) == value


def test_progress_is_reported_in_order_while_the_child_works(log: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert run("count", {"to": 4}, log, progress=lambda done, total: seen.append((done, total))) == 4
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_variables_are_added_to_the_childs_environment(log: Path) -> None:
    assert run("environment", {"name": "ONEDNN_VERBOSE"}, log, env={"ONEDNN_VERBOSE": "1"}) == "1"


def test_an_error_of_the_toolkit_is_raised_here_again(log: Path) -> None:
    with pytest.raises(ModelError) as caught:
        run("refuse", {}, log)
    assert caught.value.to_json() == {
        "error": "ModelError",
        "message": "it does not fit",
        "where": "model.pdmodel",
        "remedy": "take another",
        "exit_code": 6,
    }


def test_an_unexpected_error_points_at_the_log_with_its_traceback(log: Path) -> None:
    with pytest.raises(ChildError, match="ZeroDivisionError: one by nothing") as caught:
        run("fail", {}, log)
    assert caught.value.where == str(log)
    assert "Traceback" not in str(caught.value)
    assert "in fail" in log.read_text()


@pytest.mark.parametrize("name", ["no_such_function", "give_nonsense"])
def test_a_job_that_cannot_be_done_is_an_error_with_the_logs_end(log: Path, name: str) -> None:
    with pytest.raises(ChildError) as caught:
        run(name, {}, log)
    assert caught.value.where == str(log)
    assert "AttributeError" in str(caught.value) or "TypeError" in str(caught.value)


def test_a_crash_is_an_error_with_the_signals_name_and_the_logs_end(log: Path) -> None:
    seen: list[int] = []
    with pytest.raises(ChildError, match=r"tests\.jobs:crash was killed by SIGABRT") as caught:
        run("crash", {}, log, progress=lambda done, total: seen.append(done))
    assert "about to crash" in caught.value.message
    assert seen == [1]


def test_a_child_that_dies_without_a_word_is_not_given_the_words_of_the_one_before(log: Path) -> None:
    with pytest.raises(ChildError):
        run("crash", {}, log)
    with pytest.raises(ChildError, match="was killed by SIGKILL") as caught:
        run("die", {}, log)
    assert "about to crash" not in caught.value.message
    assert "it printed nothing" in caught.value.message
    assert "out of memory" in str(caught.value.remedy)
    assert "about to crash" in log.read_text()


def test_a_child_that_leaves_without_an_answer_is_an_error_with_its_exit_code(log: Path) -> None:
    with pytest.raises(ChildError, match="ended with exit code 7 without an answer"):
        run("leave", {"code": 7}, log)


def test_what_a_child_started_does_not_outlive_the_call(tmp_path: Path, log: Path) -> None:
    pid = run("leave_behind", {"pids": str(tmp_path / "pids")}, log)
    assert gone(pid)


def test_an_exception_in_the_progress_callback_ends_the_child(tmp_path: Path, log: Path) -> None:
    def refuse(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("work_long", {"pids": str(tmp_path / "one.pids")}, log, progress=refuse)
    assert all(gone(pid) for pid in wait_for_work(tmp_path, "one"))


def test_no_file_is_left_in_the_temporary_directory(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run("echo", {"value": 1}, log)
    with pytest.raises(ChildError):
        run("crash", {}, log)
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


@pytest.mark.parametrize(("how", "names"), [("alone", ("one",)), ("parallel", ("one", "two"))])
def test_ctrl_c_ends_all_children_at_once_and_nothing_of_them_becomes_a_result(
    tmp_path: Path, how: str, names: tuple[str, ...]
) -> None:
    program = start_program(tmp_path, how)
    pids = wait_for_work(tmp_path, *names)
    started = time.monotonic()
    program.send_signal(signal.SIGINT)
    output, _ = program.communicate(timeout=20)
    assert output == "interrupted\n"
    assert time.monotonic() - started < 5
    wait_until_gone(*pids)
    assert not (tmp_path / "three.pids").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_child_ends_with_the_program_that_called_it(tmp_path: Path, number: signal.Signals) -> None:
    program = start_program(tmp_path, "alone")
    worker, sleeper = wait_for_work(tmp_path, "one")
    program.send_signal(number)
    program.communicate(timeout=20)
    wait_until_gone(worker)
    os.kill(sleeper, signal.SIGKILL)


def test_an_error_in_one_of_parallel_calls_stops_the_others(tmp_path: Path, log: Path) -> None:
    others: list[Future[Any]] = []

    def work() -> None:
        with child.parallel(2) as pool:
            others.append(pool.submit(run, "work_long", {"pids": str(tmp_path / "one.pids")}, log))
            wait_for_work(tmp_path, "one")
            pool.submit(run, "refuse", {}, log).result()

    with pytest.raises(ModelError):
        work()
    assert all(gone(pid) for pid in wait_for_work(tmp_path, "one"))
    assert isinstance(others[0].exception(), KeyboardInterrupt)


def test_temporary_files_of_a_child_lie_beside_its_log_and_are_gone_afterwards(log: Path) -> None:
    used = Path(run("where_temporary_files_go", {}, log))
    assert used.parent == log.parent
    assert not used.exists()
