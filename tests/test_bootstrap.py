"""toolkit/bootstrap.sh: which Python it chooses, and when it trusts what an earlier set-up left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "toolkit" / "bootstrap.sh"

# Answers like an interpreter that is good: with its own path, where it is asked which one it is.
GOOD = 'echo "$0"'
PYENV_SHIM = 'echo "pyenv: python3.9: command not found" >&2; exit 127'
# The real interpreter with one thing about it changed, so that the script's own questions are put to Python.
OTHER_VERSION = f'exec "{sys.executable}" -c "import sys; sys.version_info = (3, 11, 4); $2"'
WITHOUT_ENSUREPIP = f"""exec "{sys.executable}" -c "import sys; sys.modules['ensurepip'] = None; $2" """


def program(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


class Machine:
    """A home and a PATH that hold nothing but what a test puts there."""

    def __init__(self, root: Path) -> None:
        self.bin = root / "bin"
        self.home = root / "home"
        self.bin.mkdir()
        self.home.mkdir()
        for name in ("dirname", "sed", "tail"):
            (self.bin / name).symlink_to(shutil.which(name) or name)

    def find(self, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin), "HOME": str(self.home), **variables}
        return subprocess.run(
            ["/bin/sh", SCRIPT, "find"], env=environment, capture_output=True, text=True, check=False
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_python39_on_the_path_is_chosen(machine: Machine) -> None:
    chosen = program(machine.bin / "python3.9", GOOD)
    program(machine.bin / "python3", GOOD)
    assert machine.find().stdout.strip() == str(chosen)


def test_a_shim_that_exits_127_is_passed_over_for_a_version_of_pyenv(machine: Machine) -> None:
    program(machine.bin / "python3.9", PYENV_SHIM)
    chosen = program(machine.home / ".pyenv/versions/3.9.18/bin/python", GOOD)
    assert machine.find().stdout.strip() == str(chosen)


def test_pyenv_is_looked_for_where_pyenv_root_says(machine: Machine, tmp_path: Path) -> None:
    program(machine.home / ".pyenv/versions/3.9.1/bin/python", GOOD)
    chosen = program(tmp_path / "my pyenv/versions/3.9.2/bin/python", GOOD)
    assert machine.find(PYENV_ROOT=str(tmp_path / "my pyenv")).stdout.strip() == str(chosen)


def test_a_broken_version_of_pyenv_does_not_hide_a_working_one(machine: Machine) -> None:
    program(machine.home / ".pyenv/versions/3.9.1/bin/python", "exit 1")
    chosen = program(machine.home / ".pyenv/versions/3.9.2/bin/python", GOOD)
    assert machine.find().stdout.strip() == str(chosen)


def test_a_plain_python3_of_another_version_is_passed_over(machine: Machine) -> None:
    program(machine.bin / "python3", OTHER_VERSION)
    assert machine.find().returncode == 1


def test_a_python_that_cannot_make_environments_is_passed_over(machine: Machine) -> None:
    program(machine.bin / "python3.9", WITHOUT_ENSUREPIP)
    chosen = program(machine.bin / "python3", GOOD)
    assert machine.find().stdout.strip() == str(chosen)


def test_uv_is_asked_last_and_may_not_download(machine: Machine, tmp_path: Path) -> None:
    chosen = program(tmp_path / "uv's/python3.9", GOOD)
    program(machine.bin / "uv", f'[ "$UV_PYTHON_DOWNLOADS" = never ] && echo "{chosen}"')
    assert machine.find().stdout.strip() == str(chosen)


def test_without_any_python39_the_message_says_how_to_get_one(machine: Machine) -> None:
    result = machine.find()
    assert result.returncode == 1
    assert result.stdout == ""
    assert "no Python 3.9 found" in result.stderr
    for way in (
        "pyenv install 3.9",
        "uv python install 3.9",
        "conda create",
        "deadsnakes",
        "make setup PYTHON=",
    ):
        assert way in result.stderr


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (OTHER_VERSION, "it is Python 3.11"),
        (WITHOUT_ENSUREPIP, "ensurepip"),
        (PYENV_SHIM, "pyenv: python3.9: command not found"),
    ],
)
def test_a_bad_python_given_by_name_is_an_error_and_nothing_else_is_tried(
    machine: Machine, tmp_path: Path, body: str, reason: str
) -> None:
    program(machine.bin / "python3.9", GOOD)
    given = program(tmp_path / "given", body)
    result = machine.find(PYTHON=str(given))
    assert result.returncode == 1
    assert result.stdout == ""
    assert f"PYTHON={given} cannot be used" in result.stderr
    assert reason in result.stderr


def test_a_python_given_by_name_that_is_not_there_is_an_error(machine: Machine) -> None:
    program(machine.bin / "python3.9", GOOD)
    result = machine.find(PYTHON="/no/such/python")
    assert result.returncode == 1
    assert "PYTHON=/no/such/python cannot be used" in result.stderr


def test_an_environment_is_never_based_on_another_environment(machine: Machine) -> None:
    assert sys.prefix != sys.base_prefix, "the tests run in .venv"
    chosen = Path(machine.find(PYTHON=sys.executable).stdout.strip())
    assert Path(sys.prefix).resolve() not in chosen.parents
    version = subprocess.run([chosen, "-V"], capture_output=True, text=True, check=True).stdout
    assert version.startswith("Python 3.9.")


# Stands in for Python 3.9: makes environments of itself, and writes down what pip is asked to do.
INSTALLER = f"""
case "$1 $2" in
    *ensurepip*) echo "$0" ;;
    -c*) exec "{sys.executable}" "$@" ;;
    "-m venv") mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
    "-m pip")
        echo "$*" >>"$CALLS"
        sleep "${{PIP_TAKES:-0}}"
        echo "pip says so"
        exit "${{PIP_EXITS:-0}}" ;;
esac
"""


class Checkout:
    """A checkout whose set-up talks to a stand-in for Python, in place of minutes of downloads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls_file = root / "calls"
        self.python = program(root / "elsewhere/python3.9", INSTALLER)
        self.script = root / "toolkit/bootstrap.sh"
        self.script.parent.mkdir()
        shutil.copy(SCRIPT, self.script)
        (root / "setup.cfg").write_text("[metadata]\nname = x\n")
        (root / "pyproject.toml").write_text("[build-system]\n")
        (root / "requirements.lock").write_text(
            "numpy==1.0 \\\n    --hash=sha256:aa\n    # via x\nwheel==1.0 \\\n    --hash=sha256:bb\n    # via x\n"
        )

    def start(self, command: str = "setup", **variables: str) -> subprocess.Popen[str]:
        environment = {"PATH": os.environ["PATH"], "PYTHON": str(self.python), "CALLS": str(self.calls_file)}
        return subprocess.Popen(
            [self.script, command],
            env={**environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str = "setup", **variables: str) -> tuple[int, str]:
        child = self.start(command, **variables)
        output, _ = child.communicate(timeout=60)
        return child.returncode, output

    @property
    def calls(self) -> list[str]:
        """What pip was asked to do since the last look."""
        calls = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        self.calls_file.unlink(missing_ok=True)
        return calls

    @property
    def stamp(self) -> Path:
        return self.root / ".venv/.lock-sha256"


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root = tmp_path / "a checkout"
    root.mkdir()
    return Checkout(root)


def test_a_set_up_installs_the_tools_then_the_lock_then_the_project(checkout: Checkout) -> None:
    code, output = checkout.run()
    assert code == 0
    assert ".venv is ready: python 3.9." in output
    tools, lock, project = checkout.calls
    assert "--require-hashes" in tools
    assert "--require-hashes" in lock
    assert "-r requirements.lock" in lock
    assert "--no-index" in project
    assert "--editable ." in project
    assert (checkout.root / ".venv/installer.txt").read_text() == (
        "wheel==1.0 \\\n    --hash=sha256:bb\n    # via x\n"
    )


def test_a_second_set_up_does_nothing_in_a_moment(checkout: Checkout) -> None:
    checkout.run()
    assert len(checkout.calls) == 3
    began = time.monotonic()
    code, output = checkout.run("ensure")
    assert (code, output, checkout.calls) == (0, "", [])
    assert time.monotonic() - began < 2  # a tenth of it on an idle machine
    code, output = checkout.run("setup")
    assert (code, checkout.calls) == (0, [])
    assert ".venv is up to date" in output


def test_a_set_up_that_was_killed_is_not_trusted(checkout: Checkout) -> None:
    child = checkout.start(PIP_TAKES="60")
    deadline = time.monotonic() + 30
    while not checkout.calls_file.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    assert not checkout.stamp.exists()
    assert checkout.calls_file.exists()
    checkout.calls_file.unlink()

    (checkout.root / ".venv/leftover").touch()
    assert checkout.run("ensure")[0] == 0
    assert len(checkout.calls) == 3
    assert not (checkout.root / ".venv/leftover").exists()


def test_a_failing_pip_fails_the_set_up_and_shows_the_end_of_the_log(checkout: Checkout) -> None:
    code, output = checkout.run(PIP_EXITS="2")
    assert code == 1
    assert "failed (exit code 2)" in output
    assert "| pip says so" in output
    assert ".venv/setup.log" in output
    assert "run make setup again" in output
    assert not checkout.stamp.exists()
    assert len(checkout.calls) == 1


def test_a_failing_environment_fails_the_set_up(checkout: Checkout) -> None:
    program(checkout.python, INSTALLER.replace("mkdir -p", "exit 3; mkdir -p"))
    code, output = checkout.run("ensure")
    assert code == 1
    assert "failed (exit code 3)" in output


def test_a_changed_lock_is_installed_from_scratch(checkout: Checkout) -> None:
    checkout.run()
    assert checkout.calls
    (checkout.root / ".venv/leftover").touch()
    with (checkout.root / "requirements.lock").open("a") as lock:
        lock.write("zipp==1.0 \\\n    --hash=sha256:cc\n")
    assert checkout.run("ensure")[0] == 0
    assert len(checkout.calls) == 3
    assert not (checkout.root / ".venv/leftover").exists()


def test_a_changed_setup_cfg_installs_the_project_again_and_nothing_else(checkout: Checkout) -> None:
    checkout.run()
    assert checkout.calls
    (checkout.root / "setup.cfg").write_text("[metadata]\nname = y\n")
    assert checkout.run("ensure")[0] == 0
    assert ["--editable ." in call for call in checkout.calls] == [True]
    assert checkout.run("ensure")[0] == 0
    assert checkout.calls == []


def test_a_checkout_that_was_moved_is_set_up_again(checkout: Checkout, tmp_path: Path) -> None:
    checkout.run()
    assert checkout.calls
    moved = checkout.root.rename(tmp_path / "moved")
    checkout.calls_file = moved / "calls"
    checkout.python = moved / "elsewhere/python3.9"
    checkout.script = moved / "toolkit/bootstrap.sh"
    assert checkout.run("ensure")[0] == 0
    assert len(checkout.calls) == 3


def test_an_environment_without_its_python_is_made_again(checkout: Checkout) -> None:
    checkout.run()
    assert checkout.calls
    (checkout.root / ".venv/bin/python").unlink()
    assert checkout.run("ensure")[0] == 0
    assert len(checkout.calls) == 3


def test_a_bad_python_given_by_name_fails_even_when_all_is_up_to_date(checkout: Checkout) -> None:
    checkout.run()
    code, output = checkout.run("ensure", PYTHON="/no/such/python")
    assert code == 1
    assert "PYTHON=/no/such/python cannot be used" in output


def test_of_two_set_ups_at_once_one_waits_and_has_nothing_left_to_do(checkout: Checkout) -> None:
    children = [checkout.start("ensure", PIP_TAKES="0.3") for _ in range(2)]
    outputs = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert len(checkout.calls) == 3
    assert sum("waiting for another set-up" in output for output in outputs) == 1


def test_an_unknown_command_is_refused(checkout: Checkout) -> None:
    code, output = checkout.run("instal")
    assert code == 1
    assert "usage: toolkit/bootstrap.sh setup | ensure | find" in output
