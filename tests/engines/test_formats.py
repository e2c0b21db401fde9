from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.engines import formats
from toolkit.errors import ModelError

PADDLE_3 = '{"base_code":{"magic":"pir","trainable":true,"version":1},"program":{"regions":[]}}'


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(PADDLE_3 if name.endswith(".json") else f"content of {name}")
    return folder


def refusal(path: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        formats.recognise(path)
    return caught.value


@pytest.mark.parametrize(
    ("names", "given", "format_", "program"),
    [
        (("a.pdmodel", "a.pdiparams"), "", "paddle", "a.pdmodel"),
        (("a.pdmodel", "a.pdiparams"), "a", "paddle", "a.pdmodel"),
        (("a.pdmodel", "a.pdiparams"), "a.pdmodel", "paddle", "a.pdmodel"),
        (("a.pdmodel", "a.pdiparams"), "a.pdiparams", "paddle", "a.pdmodel"),
        (("a.pdmodel", "a.pdiparams", "b.pdmodel", "b.pdiparams"), "b", "paddle", "b.pdmodel"),
        (("__model__", "__params__"), "", "paddle", "__model__"),
        (("__model__", "__params__"), "__model__", "paddle", "__model__"),
        # A model that can be deployed wins over what it was made of.
        (("a.pdmodel", "a.pdiparams", "a.onnx"), "", "paddle", "a.pdmodel"),
        (("a.json", "a.pdiparams"), "", "pir", "a.json"),
        (("a.json", "a.pdiparams"), "a", "pir", "a.json"),
        (("a.json", "a.pdiparams"), "a.pdiparams", "pir", "a.json"),
        (("a.json",), "a.json", "pir", "a.json"),
        (("a.onnx",), "", "onnx", "a.onnx"),
        (("a.onnx",), "a.onnx", "onnx", "a.onnx"),
    ],
)
def test_a_model_is_recognised_by_directory_file_or_stem(
    tmp_path: Path, names: tuple[str, ...], given: str, format_: str, program: str
) -> None:
    found = formats.recognise(fill(tmp_path, *names) / given)
    assert (found.format, found.program.name) == (format_, program)


@pytest.mark.parametrize(
    ("names", "given", "message"),
    [
        ((), "none", "there is no such file or directory"),
        ((), "", "no inference model here"),
        (("a.pdmodel",), "", "a.pdiparams is missing"),
        (("a.pdiparams",), "a.pdiparams", "the program a.pdmodel is missing"),
        (("a.pdparams",), "a.pdparams", "a checkpoint of a training"),
        (("a.txt",), "a.txt", "no file of an inference model"),
        (("a.onnx", "b.onnx"), "", "several models: a.onnx, b.onnx"),
        (("a.pdmodel", "a.pdiparams", "b.pdmodel", "b.pdiparams"), "", "several programs"),
    ],
)
def test_what_is_no_model_is_refused_with_the_reason(
    tmp_path: Path, names: tuple[str, ...], given: str, message: str
) -> None:
    error = refusal(fill(tmp_path, *names) / given)
    assert message in error.message
    assert error.where


def test_a_folder_that_is_named_like_a_file_is_passed_over(tmp_path: Path) -> None:
    (fill(tmp_path, "a.pdmodel", "a.pdiparams") / "labels.json").mkdir()
    assert formats.recognise(tmp_path).program.name == "a.pdmodel"


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").touch()
    assert "is empty" in refusal(tmp_path / "a.onnx").message
