"""The tutorial, command by command, in a fresh build directory; `make test-pipelines` runs it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tutorial
from tests.e2e.harness import ROOT, free_port, listening
from tests.processes import processes_of


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    left = processes_of(tmp_path)
    for process in left:
        process.kill()
    assert not left, f"left behind: {left}"


@pytest.mark.pipelines
@pytest.mark.timeout(2400)
def test_every_command_of_the_tutorial_works(place: Path) -> None:
    http, grpc = free_port(), free_port()
    other = {
        "../tutorial": str(place / "tutorial"),
        "pipelines/mymodel": str(place / "pipelines" / "mymodel"),
        "127.0.0.1:9393": f"127.0.0.1:{http}",
        "127.0.0.1:9394": f"127.0.0.1:{grpc}",
    }
    environment = {
        # Without the variables of a make that runs this test, and without setting up once more.
        **{name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ},
        "MAKEFLAGS": "BOOTSTRAP=true",
        "PYTHONPATH": str(ROOT),
        "TOOLKIT_PIPELINES": str(place / "pipelines"),
        "BUILD": str(place / "build"),
        "DIST": str(place / "dist"),
        "HTTP_PORT": str(http),
        "GRPC_PORT": str(grpc),
    }
    said = []
    for block in tutorial.blocks():
        script = ["bash", "-euo", "pipefail", "-c", tutorial.instead(block, other)]
        done = subprocess.run(
            script, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1200, check=False
        )
        assert done.returncode == 0, block + done.stdout + done.stderr
        said.append(done.stdout)
    answers = [text for text in said if '"classes"' in text]
    assert '"name": "class' not in answers[0]
    assert '"name": "class' in answers[-1]
    assert not listening(http)
