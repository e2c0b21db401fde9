"""A pipeline whose own data only stands in for requests."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import pytest

from toolkit import spec
from toolkit.console import Console
from toolkit.errors import DataError
from toolkit.stages import dataset
from toolkit.stages.context import Context

PIPELINES = Path(__file__).parents[2] / "pipelines"

GENERATOR = """
def build(directory, options, progress):
    (directory / "a.jpg").write_text("a picture")
    (directory / "calibration.txt").touch()
    (directory / "validation.txt").write_text("a.jpg\\n")
"""


@pytest.fixture
def placeholder(tmp_path: Path) -> spec.PipelineSpec:
    """A pipeline of the repository, but for its data."""
    loaded = spec.load(PIPELINES, "ocr")
    data = loaded.data.model_copy(
        update={"generator": "data:build", "placeholder": True, "code": (), "packages": ()}
    )
    folder = tmp_path / "ocr"
    folder.mkdir()
    (folder / "data.py").write_text(GENERATOR)
    return loaded.model_copy(update={"data": data}).placed_in(folder)


def context(
    plan: spec.PipelineSpec, build: Path, data: Optional[Path] = None, precision: Optional[str] = None
) -> Context:
    return Context(plan, build, data, precision, Console())


def test_without_data_only_fp32_is_tried_and_said_why(
    placeholder: spec.PipelineSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = context(placeholder, tmp_path / "build")
    assert run.candidates_of("det") == ("fp32",)
    found = dataset.run(run).dataset
    assert (found.calibration, len(found.validation)) == ((), 1)
    said = capsys.readouterr().err
    assert "warning: INT8 needs calibration data and none was given" in said
    assert "DATA=" in said


def test_a_target_that_takes_shapes_from_the_data_is_refused_without_any(
    placeholder: spec.PipelineSpec, tmp_path: Path
) -> None:
    aimed = placeholder.model_copy(update={"target": "nvidia-tensorrt"})
    with pytest.raises(DataError, match="shapes of calibration data, and there is none"):
        dataset.run(context(aimed, tmp_path / "build"))


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_what_would_have_to_be_calibrated_or_judged_is_refused(
    placeholder: spec.PipelineSpec, tmp_path: Path, precision: str
) -> None:
    with pytest.raises(DataError, match=f"{precision} was asked for, and there is no data") as caught:
        dataset.run(context(placeholder, tmp_path / "build", precision=precision))
    assert "DATA=" in str(caught.value.remedy)


def test_with_data_of_the_user_everything_is_tried(placeholder: spec.PipelineSpec, tmp_path: Path) -> None:
    run = context(placeholder, tmp_path / "build", tmp_path)
    assert run.calibrates
    assert "int8" in run.candidates_of("det")


def test_data_of_the_user_must_calibrate(placeholder: spec.PipelineSpec, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "calibration.txt").touch()
    (data / "validation.txt").write_text("a.jpg\n")
    (data / "a.jpg").write_text("a picture")
    with pytest.raises(DataError, match="lists no sample"):
        dataset.run(context(placeholder, tmp_path / "build", data))
