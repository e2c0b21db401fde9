"""Planted bad releases, each caught by its own measurement and gone without anybody's doing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.canary.releases import ANSWERS, ERRORS, LATENCY
from tests.e2e.harness import ROOT, Place

pytestmark = [pytest.mark.e2e, pytest.mark.rollouts, pytest.mark.timeout(900)]

CASES = {"good": [], ANSWERS: [ANSWERS], LATENCY: [LATENCY], ERRORS: [ERRORS], "watch": [ANSWERS]}


@pytest.mark.parametrize(("case", "caught_by"), CASES.items())
def test_a_bad_release_is_caught_by_itself_and_a_good_one_serves(
    prepared: Place, case: str, caught_by: list[str]
) -> None:
    release: Path = next((prepared.build / "store" / "render").iterdir())
    argv = [sys.executable, "-m", "tests.canary", "--release", str(release), "--json"]
    argv += ["--images", str(prepared.data), "--cases", case]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    told = json.loads(done.stdout)
    found: dict[str, Any] = told["cases"][0]
    print(done.stdout)
    assert (found["failed"], told["leaked_processes"]) == (0, 0)
    assert found["caught_by"] == caught_by
