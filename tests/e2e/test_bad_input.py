"""What users get wrong on the command line: a clear error each, with its exit code, and nothing deployed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.e2e.harness import ROOT


def deploy(build: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "toolkit", "deploy", "--build", str(build), *arguments]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_an_unknown_pipeline_lists_those_there_are(tmp_path: Path) -> None:
    done = deploy(tmp_path, "--model", "nope")
    assert done.returncode == 3
    assert "MODEL= takes one of: classification, detection, ocr" in done.stderr


def test_missing_data_says_what_data_takes(tmp_path: Path) -> None:
    done = deploy(tmp_path, "--data", str(tmp_path / "none"))
    assert done.returncode == 5
    assert "calibration.txt and validation.txt" in done.stderr


def test_an_image_in_both_lists_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.jpg").write_bytes(b"same")
    for name in ("calibration", "validation"):
        (data / f"{name}.txt").write_text(
            'a.jpg\t[{"transcription": "x", "points": [[0,0],[9,0],[9,9],[0,9]]}]\n'
        )
    done = deploy(tmp_path / "build", "--data", str(data))
    assert done.returncode == 5
    assert "a.jpg is in both lists" in done.stderr


def test_an_error_is_json_for_programs_that_ask_for_json(tmp_path: Path) -> None:
    done = deploy(tmp_path, "--model", "nope", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"] == "SpecError"


def test_an_unknown_precision_lists_those_there_are(tmp_path: Path) -> None:
    done = deploy(tmp_path, "--precision", "int4")
    assert done.returncode == 2
    assert "int8" in done.stderr
