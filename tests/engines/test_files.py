from __future__ import annotations

from pathlib import Path
from typing import Optional

import pytest

from toolkit.engines import files
from toolkit.errors import ModelError

PADDLE_3 = '{"base_code":{"magic":"pir","trainable":true,"version":1},"program":{"regions":[]}}'


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).write_text(f"content of {name}")
    return folder


def refusal(folder: Path, model: Optional[str] = None, params: Optional[str] = None) -> ModelError:
    with pytest.raises(ModelError) as caught:
        files.find(folder, model, params)
    assert str(folder) in str(caught.value.where)
    return caught.value


@pytest.mark.parametrize(
    ("names", "model", "params"),
    [
        (("inference.pdmodel", "inference.pdiparams"), "inference.pdmodel", "inference.pdiparams"),
        (("ppyolo.pdmodel", "ppyolo.pdiparams", "infer_cfg.yml"), "ppyolo.pdmodel", "ppyolo.pdiparams"),
        (("__model__", "__params__"), "__model__", "__params__"),
        (("__model__", "params"), "__model__", "params"),
        # The usual name wins over another program beside it.
        (
            ("inference.pdmodel", "inference.pdiparams", "old.pdmodel", "old.pdiparams"),
            "inference.pdmodel",
            "inference.pdiparams",
        ),
        (("a.pdmodel", "a.pdiparams", "config.json"), "a.pdmodel", "a.pdiparams"),
    ],
)
def test_a_model_is_found_under_whatever_names_it_has(
    tmp_path: Path, names: tuple[str, ...], model: str, params: str
) -> None:
    found = files.find(fill(tmp_path, *names))
    assert (found.model.name, found.params.name) == (model, params)
    assert found.size == len(f"content of {model}") + len(f"content of {params}")


def test_of_several_programs_the_spec_names_one(tmp_path: Path) -> None:
    fill(tmp_path, "a.pdmodel", "a.pdiparams", "b.pdmodel", "b.pdiparams")
    error = refusal(tmp_path)
    assert "several programs: a.pdmodel, b.pdmodel" in error.message
    assert "`model:`" in str(error.remedy)
    assert files.find(tmp_path, "b.pdmodel").params.name == "b.pdiparams"


def test_weights_of_another_name_are_named_in_the_spec(tmp_path: Path) -> None:
    fill(tmp_path, "model.pdmodel", "weights.bin")
    assert "model.pdiparams is missing" in refusal(tmp_path).message
    assert files.find(tmp_path, params="weights.bin").params.name == "weights.bin"


@pytest.mark.parametrize(
    ("model", "params", "name"),
    [("b.pdmodel", None, "b.pdmodel"), (None, "b.pdiparams", "b.pdiparams")],
)
def test_a_file_that_the_spec_names_must_be_there(
    tmp_path: Path, model: Optional[str], params: Optional[str], name: str
) -> None:
    fill(tmp_path, "a.pdmodel", "a.pdiparams")
    assert f"{name} is missing" in refusal(tmp_path, model, params).message


@pytest.mark.parametrize("name", ["a.pdmodel", "a.pdiparams"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    fill(tmp_path, "a.pdmodel", "a.pdiparams")
    (tmp_path / name).write_bytes(b"")
    assert f"{name} is empty" in refusal(tmp_path).message


@pytest.mark.parametrize("model", [None, "inference.json"])
def test_a_program_of_paddle_3_is_refused_with_the_way_out(tmp_path: Path, model: Optional[str]) -> None:
    fill(tmp_path, "inference.pdiparams")
    (tmp_path / "inference.json").write_text(PADDLE_3)
    error = refusal(tmp_path, model)
    assert "Paddle 3" in error.message
    assert "FLAGS_enable_pir_api=0" in str(error.remedy)


def test_a_folder_without_a_model_is_told_with_what_it_holds(tmp_path: Path) -> None:
    assert "holds nothing" in refusal(tmp_path).message
    fill(tmp_path, "model.onnx", "config.json")
    assert "holds config.json, model.onnx" in refusal(tmp_path).message
    assert "`make new MODEL=... FROM=`" in str(refusal(tmp_path).remedy)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none").message


def test_weights_of_paddle_1_may_lie_beside_the_program_each_in_a_file_of_its_own(tmp_path: Path) -> None:
    fill(tmp_path, "__model__", "fc_0.w_0", "fc_0.b_0")
    found = files.find(tmp_path)
    assert (found.model.name, found.params) == ("__model__", tmp_path)


def test_a_program_of_paddle_1_without_weights_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "__model__")
    assert "__params__ is missing" in refusal(tmp_path).message
