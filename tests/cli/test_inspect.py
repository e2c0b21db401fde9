"""`toolkit inspect` as people and programs see it; what it shows is planted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.scaffold.models import classifier, model
from toolkit.cli import inspect as command
from toolkit.engines.formats import Format
from toolkit.engines.inspection import Inspection, LayerFound
from toolkit.scaffold import look


def invoke(monkeypatch: pytest.MonkeyPatch, found: Inspection, *arguments: str) -> Result:
    monkeypatch.setattr(look, "inspect", lambda path: found)
    return CliRunner().invoke(command.inspect_command, ["some/model", *arguments])


def with_layers() -> Inspection:
    layers = (
        LayerFound("conv_0", "conv2d", (8, 3, 3, 3), 216, True),
        LayerFound("up_0", "conv2d_transpose", (8, 4, 2, 2), 128, False),
    )
    return Inspection(**{**vars(classifier()), "layers": layers, "values": 432, "notes": ("a note",)})


def test_people_read_what_goes_in_and_out_and_what_could_run_in_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    text = invoke(monkeypatch, with_layers()).output
    assert "input        x: float32 [?, 3, 224, 224]" in text
    assert "float32 [?, 10], from softmax" in text
    assert "1 conv2d (216) could, 50% of all values; 1 conv2d_transpose (128) stay in float" in text
    assert "kind         classification: an image in, 10 scores out" in text
    assert "note         a note" in text
    assert "conv_0 " not in text


def test_layers_are_listed_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row.split() for row in invoke(monkeypatch, with_layers(), "--layers").output.splitlines()]
    assert ["conv_0", "conv2d", "8x3x3x3", "INT8"] in rows
    assert ["up_0", "conv2d_transpose", "8x4x2x2", "float"] in rows


def test_programs_read_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads(invoke(monkeypatch, with_layers(), "--json").output)
    assert found["signature"]["inputs"][0] == {"name": "x", "dtype": "float32", "shape": [-1, 3, 224, 224]}
    assert (found["format"], found["like"], found["int8_share"]) == ("paddle", "classification", 0.5)


@pytest.mark.parametrize(
    ("kind", "title", "conversion"),
    [
        ("onnx", "ONNX model", "converts it with x2paddle, in an environment"),
        ("pir", "program of Paddle 3", "converts it to ONNX with paddle2onnx, and that with x2paddle"),
    ],
)
def test_of_a_model_of_another_kind_it_is_told_at_the_end_what_make_new_does_with_it(
    monkeypatch: pytest.MonkeyPatch, kind: Format, title: str, conversion: str
) -> None:
    result = invoke(monkeypatch, model({"x": (1, 3)}, {"y": (1, 3)}, format_=kind))
    assert result.exit_code == 0
    assert title in result.output
    assert result.output.splitlines()[-1].startswith(f"make new     {conversion}")


def test_what_is_not_there_is_an_error_of_its_own(tmp_path: Path) -> None:
    result = CliRunner().invoke(command.inspect_command, [str(tmp_path / "none")])
    assert result.exit_code != 0
    assert "no such file or directory" in str(result.exception)


def test_without_a_model_it_says_what_to_give_as_make_and_as_a_command_have_it() -> None:
    result = CliRunner().invoke(command.inspect_command, [])
    assert result.exit_code == 2
    assert "give the PATH of a model (FROM=)" in result.output
