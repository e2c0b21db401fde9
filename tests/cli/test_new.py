"""`toolkit new` on a model of the repository's packages."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.engines.test_export import CLASSIFIER
from tests.scaffold.models import model
from toolkit import spec
from toolkit.cli import new as command
from toolkit.console import Console
from toolkit.conversion.onnx import Converted
from toolkit.engines.formats import Format
from toolkit.engines.inspection import Inspection
from toolkit.errors import DataError, ModelError, SpecError
from toolkit.scaffold import look
from toolkit.store.artifact import Store


def invoke(pipelines: Path, *arguments: str, source: Path = CLASSIFIER, name: str = "mine") -> Result:
    words = ["--model", name, "--from", str(source), "--pipelines", str(pipelines), *arguments]
    return CliRunner().invoke(command.new, words)


def test_a_pipeline_is_written_and_said_what_it_is_taken_for_and_how_to_go_on(tmp_path: Path) -> None:
    result = invoke(tmp_path, "--shape", "x=1,3,48,192")
    assert result.exit_code == 0, result.output
    assert "kind         classification: an image in, 2 scores out" in result.output
    assert "tried        image [1, 3, 48, 192] -> scores [1, 2]" in result.output
    assert "make deploy MODEL=mine DATA=" in result.output
    assert "INT8 needs data" in result.output
    assert spec.load(tmp_path, "mine").models["net"].options["size"] == [48, 192]


def test_data_with_classes_decides_what_it_is_judged_by(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("a", "b"):
        (data / f"{name}.jpg").write_text(name)
    (data / "calibration.txt").write_text("a.jpg 0\n")
    (data / "validation.txt").write_text("b.jpg 1\n")
    result = invoke(tmp_path / "pipelines", "--data", str(data), "--json")
    assert json.loads(result.output)["judge"] == "labels"
    assert spec.load(tmp_path / "pipelines", "mine").judge == "judge:Answers"


def test_data_that_is_none_is_refused_whatever_the_kind(tmp_path: Path) -> None:
    result = invoke(tmp_path / "pipelines", "--like", "tensor", "--data", str(tmp_path / "none"))
    assert isinstance(result.exception, DataError)
    assert not (tmp_path / "pipelines").exists()


def test_the_command_to_go_on_with_can_be_copied_whatever_the_datas_name(tmp_path: Path) -> None:
    data = tmp_path / "my images"
    data.mkdir()
    for name in ("a", "b"):
        (data / f"{name}.jpg").write_text(name)
    result = invoke(tmp_path / "pipelines", "--data", str(data))
    assert f"make deploy MODEL=mine DATA='{data}'" in result.output


def test_nothing_is_written_over_a_pipeline(tmp_path: Path) -> None:
    assert invoke(tmp_path).exit_code == 0
    before = (tmp_path / "mine" / "pipeline.yml").read_text()
    result = invoke(tmp_path, "--like", "classification")
    assert isinstance(result.exception, SpecError)
    assert "nothing of it is overwritten" in str(result.exception)
    assert (tmp_path / "mine" / "pipeline.yml").read_text() == before


def test_half_an_ocr_is_refused_with_the_way_to_do_it_by_hand(tmp_path: Path) -> None:
    result = invoke(tmp_path, "--like", "ocr")
    assert isinstance(result.exception, SpecError)
    assert "pipelines/ocr" in str(result.exception.remedy)
    assert not (tmp_path / "mine").exists()


def test_a_model_that_does_not_run_is_refused_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ModelError("the probe inference failed")

    monkeypatch.setattr(look, "tried", fail)
    assert isinstance(invoke(tmp_path).exception, ModelError)
    assert not (tmp_path / "mine").exists()


def test_scores_of_several_images_for_one_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "tried", lambda *_: {"scores": [49, 2]})
    result = invoke(tmp_path)
    assert isinstance(result.exception, ModelError)
    assert "scores [49, 2] for one image [1, 3, 224, 224]" in str(result.exception)
    assert not (tmp_path / "mine").exists()


def test_a_shape_that_the_model_does_not_run_with_leads_to_the_option_that_gives_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(function: str, *_: object, **__: object) -> None:
        raise ModelError("the probe inference failed", remedy="check the shapes in the pipeline spec")

    found = look.inspect(CLASSIFIER)
    monkeypatch.setattr(look, "inspect", lambda path: found)
    monkeypatch.setattr(look.child, "call", fail)
    result = invoke(tmp_path)
    assert isinstance(result.exception, ModelError)
    assert "--shape" in str(result.exception.remedy)


class Conversion:
    """The conversion of an ONNX model into the shipped classifier, whose input has another name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trials: Any = None
        inspected = look.inspect
        given: dict[str, Format] = {".onnx": "onnx", ".json": "pir"}
        tensors: Any = {"image in": (-1, 3, -1, -1)}, {"scores": (-1, 2)}
        monkeypatch.setattr(
            look,
            "inspect",
            lambda path: (
                model(*tensors, format_=given[path.suffix]) if path.suffix in given else inspected(path)
            ),
        )
        monkeypatch.setattr(command.onnx, "convert", self.convert)
        monkeypatch.setattr(command.pir, "convert", self.convert_program)

    def convert(
        self, found: Inspection, trials: Any, store: Store, logs: Path, console: Console
    ) -> Converted:
        self.trials, self.places = trials, (store.directory, logs)
        compared = {"shapes": trials[0], "differences": {"scores": 2e-6}}
        info = {
            "versions": {"x2paddle": "1.6.0", "onnxruntime": "1.19.2"},
            "opset": [17, 15],
            "inputs": {"x": "image in"},
            "outputs": ["scores"],
            "fixed": None,
            "trials": [compared],
        }
        return Converted(CLASSIFIER, Path("mine.onnx"), "0" * 64, info)

    def convert_program(self, found: Inspection, *rest: Any) -> Converted:
        made = self.convert(found, *rest)
        versions = {"paddlepaddle": "3.3.1", "paddle2onnx": "2.1.0"}
        before = {"versions": versions, "trials": made.info["trials"]}
        return replace(made, source=Path("mine.json"), info={**made.info, "pir": before})


def test_an_onnx_model_is_converted_and_its_pipeline_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversion = Conversion(monkeypatch)
    build = tmp_path / "build"
    arguments = ("--shape", "image in=1,3,48,192", "--build", str(build))
    result = invoke(tmp_path / "pipelines", *arguments, source=Path("mine.onnx"))
    assert result.exit_code == 0, result.output
    assert conversion.trials[:2] == [{"image in": (1, 3, 48, 192)}, {"image in": (2, 3, 48, 192)}]
    assert conversion.places == (build / "store", build / "mine" / "logs")
    assert f"converted    from mine.onnx (SHA-256 {'0' * 64}) by x2paddle 1.6.0" in result.output
    assert "compared     as ONNX Runtime 1.19.2, to 2e-06 of the largest value" in result.output
    assert "note         operator set 17 was converted as 15" in result.output
    folder = tmp_path / "pipelines" / "mine"
    assert (folder / "inference_model" / "inference.pdmodel").is_file()
    text = (folder / "pipeline.yml").read_text()
    assert "# The model's own: image in float32 [-1, 3, -1, -1]" in text
    assert "# Converted from mine.onnx" in text


def test_a_program_of_paddle_3_goes_through_onnx_and_its_pipeline_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Conversion(monkeypatch)
    arguments = ("--shape", "image in=1,3,48,192")
    result = invoke(tmp_path / "pipelines", *arguments, source=Path("mine.json"))
    assert result.exit_code == 0, result.output
    assert "compared     ONNX: as Paddle 3.3.1, to 2e-06 of the largest value" in result.output
    assert "compared     result: as ONNX Runtime 1.19.2, to 2e-06 of the largest value" in result.output
    origin = f"from mine.json (SHA-256 {'0' * 64}) by paddle2onnx 2.1.0 with Paddle 3.3.1, and x2paddle 1.6.0"
    folder = tmp_path / "pipelines" / "mine"
    for name in ("pipeline.yml", "README.md"):
        assert origin in " ".join((folder / name).read_text().replace("#", "").split())


def test_programs_read_what_an_onnx_model_was_converted_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Conversion(monkeypatch)
    result = invoke(tmp_path, "--shape", "image in=1,3,48,192", "--json", source=Path("mine.onnx"))
    converted = json.loads(result.output)["converted"]
    assert converted["origin"].endswith("by x2paddle 1.6.0")
    assert converted["opset"] == [17, 15]


def test_a_shape_that_an_onnx_model_does_not_have_is_refused_before_it_is_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversion = Conversion(monkeypatch)
    result = invoke(tmp_path, "--shape", "x=1,3,48,192", source=Path("mine.onnx"))
    assert "no input 'x'" in str(result.exception)
    assert conversion.trials is None


@pytest.mark.parametrize("shape", ["x", "x=", "x=1,0", "x=1;3", "=1,3"])
def test_a_malformed_shape_is_refused(tmp_path: Path, shape: str) -> None:
    result = invoke(tmp_path, "--shape", shape)
    assert result.exit_code == 2
    assert "is no shape of an input" in result.output


def test_without_a_model_it_says_what_to_give_as_make_and_as_a_command_have_it(tmp_path: Path) -> None:
    result = CliRunner().invoke(command.new, ["--model", "mine", "--pipelines", str(tmp_path)])
    assert result.exit_code == 2
    assert "--from (FROM=) takes the model" in result.output
