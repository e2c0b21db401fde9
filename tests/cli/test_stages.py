"""`toolkit calibrate` where there is nothing to calibrate with; no stage is run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.spec.test_load import SPEC, pipeline_folder
from toolkit.cli.stages import calibrate_command
from toolkit.errors import DataError
from toolkit.stages import dataset


def calibrate(tmp_path: Path, *arguments: str) -> Result:
    pipeline_folder(tmp_path)
    folder = tmp_path / "pipelines"
    data = {**SPEC["data"], "placeholder": True}
    (folder / "tiny" / "pipeline.yml").write_text(json.dumps({**SPEC, "data": data}))
    places = ["--model", "tiny", "--pipelines", str(folder), "--build", str(tmp_path / "build")]
    return CliRunner().invoke(calibrate_command, [*places, *arguments])


def test_without_data_calibrate_says_why_it_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "_own", lambda context: tmp_path / "none")
    assert "nothing was calibrated" in calibrate(tmp_path).output


def test_without_data_calibrate_refuses_int8(tmp_path: Path) -> None:
    result = calibrate(tmp_path, "--precision", "int8")
    assert isinstance(result.exception, DataError)
    assert "there is no data to calibrate" in str(result.exception)
