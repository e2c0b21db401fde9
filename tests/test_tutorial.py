"""The tutorial names targets and variables that there are; `tests/e2e/test_tutorial.py` runs it."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest

from tests import tutorial
from tests.test_makefile import MAKEFILE, make

TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):", MAKEFILE, flags=re.MULTILINE))
VARIABLES = set(re.findall(r"^([A-Z0-9_]+) [?]=", MAKEFILE, flags=re.MULTILINE))


def commands() -> list[list[str]]:
    """The words of each line that runs make."""
    lines = "".join(tutorial.blocks()).splitlines()
    return [shlex.split(line) for line in lines if line.startswith("make ")]


def test_the_tutorial_goes_all_the_way() -> None:
    targets = [command[1] for command in commands()]
    way = ["setup", "new", "deploy", "release", "verify", "rollback", "stop"]
    assert [target for target in dict.fromkeys(targets) if target in way] == way


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_a_command_of_the_tutorial_names_a_target_and_variables_that_there_are(command: list[str]) -> None:
    _, target, *settings = command
    assert target in TARGETS
    assert {setting.partition("=")[0] for setting in settings} <= VARIABLES
    assert make("-n", target, *settings).returncode == 0


@pytest.mark.parametrize("block", tutorial.blocks())
def test_a_block_of_the_tutorial_is_a_shell_script(block: str) -> None:
    done = subprocess.run(["bash", "-n", "-c", block], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_command_of_the_tutorial_is_outside_of_what_is_run() -> None:
    text = tutorial.PAGE.read_text(encoding="utf-8")
    text = re.sub(r"^```sh\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert not re.search(r"^\s*(make|curl|\.venv/bin/\S+) ", text, flags=re.MULTILINE)
