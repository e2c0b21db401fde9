"""Releases that take turns under load from every protocol, as `make rollouts` runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import ROOT, Place

pytestmark = [pytest.mark.e2e, pytest.mark.rollouts, pytest.mark.timeout(1800)]


def test_deployments_and_rollbacks_under_load_lose_no_request_and_leave_nothing(prepared: Place) -> None:
    release: Path = next((prepared.build / "store" / "render").iterdir())
    argv = [sys.executable, "-m", "tests.rollouts", "--release", str(release), "--json"]
    argv += ["--pairs", "2", "--replicas", "1"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(done.stdout)
    print(done.stdout)
    assert (found["failed"], found["wrong"], found["leaked_processes"]) == (0, 0, 0)
    assert all(count > 10 for count in found["requests"].values())
