"""A bundle in service: deployed as it was released, the same after it ran, and refused when a byte differs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bundle import examples
from tests.e2e.harness import BUDGET, ROOT, Place, place
from toolkit.client import HttpClient

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def served(deployment: tuple[Place, Any]) -> Iterator[tuple[Place, Any]]:
    """A release of a version, of the evaluation that is there, and what deploying it told."""
    with place(deployment[0]) as here:
        dist = ("--dist", str(here.directory / "dist"))
        built = ("--data", str(here.data), "--budget", f"{BUDGET}s")
        made = here.run("release", "--json", "--version", "1.4.0", *dist, *built)
        assert made.code == 0, made.stderr
        assert made.json["ran"] == ["bundle ocr-1.4.0"], "nothing is measured again"
        done = here.run("deploy", "--json", "--release", "ocr-1.4.0", *dist, *here.ports, "--replicas", "1")
        assert done.code == 0, done.stderr
        yield here, done.json


def answers(here: Place, told: Any) -> bool:
    image = next(Path(told["release"], "golden").glob("00.*"))
    with HttpClient(here.http, timeout=30) as client:
        return bool(client.predict("ocr", image).lines)


def test_a_release_serves_from_where_it_lies(served: tuple[Place, Any]) -> None:
    here, told = served
    assert told["release"] == str(here.directory / "dist" / "ocr-1.4.0" / "release")
    assert told["bundle"] == "ocr-1.4.0"
    assert answers(here, told)


def test_a_release_that_ran_is_what_was_released(served: tuple[Place, Any]) -> None:
    here, told = served
    assert answers(here, told)
    argv = [sys.executable, "-m", "toolkit", "verify", str(here.directory / "dist" / "ocr-1.4.0")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_a_flipped_byte_is_refused_and_what_runs_serves_on(served: tuple[Place, Any]) -> None:
    here, told = served
    again = (
        "--json",
        "--release",
        "ocr-1.4.0",
        "--dist",
        str(here.directory / "dist"),
        *here.ports,
        "--replicas",
        "1",
    )
    weights = Path(told["release"], "models", "det", "serving_server", "model.pdiparams")
    examples.flip(weights, 5000)
    refused = here.run("deploy", *again)
    assert refused.code == 12
    assert "det/serving_server/model.pdiparams has been changed" in refused.json["message"]
    assert answers(here, told)
    examples.flip(weights, 5000)
    assert here.run("deploy", *again).json["pid"] == told["pid"], "it is the one that runs"
