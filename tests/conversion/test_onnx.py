"""What becomes of an ONNX model on the toolkit's side of the border; the script beyond it is a stand-in.

The real one has its test in tests/e2e/test_new.py.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.scaffold.models import model
from toolkit.console import Console
from toolkit.conversion import environment, onnx, script
from toolkit.conversion.onnx import Converted
from toolkit.engines.inspection import Inspection
from toolkit.errors import ChildError, ModelError
from toolkit.store.artifact import Store

INFO: dict[str, Any] = {
    "versions": {"x2paddle": "1.6.0", "onnxruntime": "1.19.2"},
    "opset": [13, 13],
    "inputs": {"x2paddle_open_2": "second", "x2paddle_open_1": "first"},
    "outputs": ["scores"],
    "fixed": None,
    "trials": [{"shapes": {"x": [1, 3]}, "differences": {"scores": 2e-6}}],
}
TRIALS = [{"x": (1, 3)}]
BEGIN = """
import json, os, sys
from pathlib import Path
order = json.loads(Path(sys.argv[2]).read_text())
answer = Path(sys.argv[3])
print("x2paddle prints much")
"""
CONVERT = f"""
target = Path(order["target"])
for name in ("model.pdmodel", "model.pdiparams"):
    (target / name).write_bytes(Path(order["model"]).read_bytes())
info = {INFO!r}
info["seen"] = [os.environ.get("PYTHONPATH"), order["trials"], os.getcwd()]
answer.write_text(json.dumps(info))
"""


@pytest.fixture
def found(tmp_path: Path) -> Inspection:
    """An ONNX model, of which only the name and the bytes count here."""
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"a model")
    return replace(model({"x": (1, 3)}, {"scores": (1, 2)}, format_="onnx"), program=str(path), weights=None)


class Place:
    """Where the script is a stand-in, run by this interpreter."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.script = folder, folder / "script.py"
        self.ensured: list[Path] = []

        def ensure(store: Store, lock: Path, log: Path, console: Console) -> Path:
            self.ensured.append(lock)
            return Path(sys.executable)

        monkeypatch.setattr(environment, "ensure", ensure)
        monkeypatch.setattr(script, "SCRIPT", self.script)

    def convert(self, found: Inspection, code: str = CONVERT) -> Converted:
        self.script.write_text(BEGIN + code)
        store = Store(self.folder / "store")
        return onnx.convert(found, TRIALS, store, self.folder / "logs", Console(quiet=True))

    def kept(self) -> list[Path]:
        return [path for path in (self.folder / "store").rglob("*") if path.suffix.startswith(".pd")]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def test_a_converted_model_is_kept_with_what_it_was_made_of(place: Place, found: Inspection) -> None:
    made = place.convert(found)
    assert (made.directory / "model.pdmodel").read_bytes() == b"a model"
    assert made.origin.startswith("from mine.onnx (SHA-256 ")
    assert made.origin.endswith(") by x2paddle 1.6.0")
    assert made.compared() == ["as ONNX Runtime 1.19.2, to 2e-06 of the largest value, with x [1, 3]"]
    assert made.notes() == []
    assert "x2paddle prints much" in (place.folder / "logs" / "onnx.log").read_text()


def test_the_same_model_is_converted_once_and_another_anew(place: Place, found: Inspection) -> None:
    first = place.convert(found)
    assert place.convert(found) == first
    assert len(place.ensured) == 1
    Path(found.program).write_bytes(b"another")
    assert place.convert(found).directory != first.directory


def test_the_script_sees_nothing_of_the_toolkits_environment(
    place: Place, found: Inspection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    pythonpath, trials, folder = place.convert(found).info["seen"]
    assert pythonpath is None
    assert trials == [{"x": [1, 3]}]
    assert not Path(folder).exists()
    assert folder != str(Path.cwd())


def test_what_cannot_be_converted_is_an_error_of_the_model_that_names_the_log(
    place: Place, found: Inspection
) -> None:
    refused = {"message": "x2paddle does not know these operators: Celu", "remedy": "export it again"}
    with pytest.raises(ModelError) as caught:
        place.convert(found, f"answer.write_text(json.dumps({{'refused': {refused!r}}}))")
    assert "Celu" in caught.value.message
    assert caught.value.where == found.program
    assert str(place.folder / "logs" / "onnx.log") in str(caught.value.remedy)
    assert place.kept() == []


def test_a_converter_that_dies_is_told_with_its_last_lines(place: Place, found: Inspection) -> None:
    with pytest.raises(ChildError, match="was killed by SIGKILL") as caught:
        place.convert(found, "sys.stdout.flush(); os.kill(os.getpid(), 9)")
    assert "x2paddle prints much" in caught.value.message
    assert place.kept() == []


def test_weights_that_are_missing_beside_the_file_are_named(place: Place, found: Inspection) -> None:
    with pytest.raises(ModelError, match=r"mine\.onnx\.data is missing, which holds weights"):
        place.convert(replace(found, external=("mine.onnx.data",)))


def test_where_there_is_no_lock_it_is_said_where_to_convert(
    place: Place, found: Inspection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "LOCK", place.folder / "requirements-onnx.lock")
    with pytest.raises(ModelError, match="in a checkout of the toolkit only"):
        place.convert(found)


def test_other_weights_beside_the_file_are_another_model(place: Place, found: Inspection) -> None:
    beside = Path(f"{found.program}.data")
    beside.write_bytes(b"1")
    first = place.convert(replace(found, external=(beside.name,)))
    beside.write_bytes(b"2")
    assert place.convert(replace(found, external=(beside.name,))).directory != first.directory


def test_inputs_and_outputs_have_the_names_of_the_onnx_model_again() -> None:
    made = Converted(Path("x"), Path("mine.onnx"), "0" * 64, INFO)
    inputs = {"x2paddle_open_1": (-1, 3), "x2paddle_open_2": (-1, 5)}
    signature = made.named(model(inputs, {"save_infer_model/scale_0.tmp_0": (-1, 2)})).signature
    assert [(item.name, item.shape) for item in signature.inputs] == [("first", (-1, 3)), ("second", (-1, 5))]
    assert [item.name for item in signature.outputs] == ["scores"]


def test_what_a_user_should_know_of_a_conversion_is_told() -> None:
    skipped = {"shapes": {"x": [2, 3]}, "skipped": "Fail: no such size"}
    info = {**INFO, "fixed": "ValueError: open", "opset": [17, 15], "trials": [*INFO["trials"], skipped]}
    made = Converted(Path("x"), Path("a\nb.onnx"), "0" * 64, info)
    assert made.compared()[1] == "ONNX Runtime 1.19.2 itself does not take x [2, 3]: not compared"
    assert made.notes() == [
        "for these sizes alone, since with open ones: ValueError: open",
        "operator set 17 was converted as 15, the newest that x2paddle knows",
    ]
    assert made.origin.startswith("from a?b.onnx ")
    assert made.origin.endswith(", for the sizes below alone")


def test_what_converts_is_locked_with_hashes() -> None:
    text = onnx.LOCK.read_text()
    for pin in ("x2paddle==1.6.0", "paddlepaddle==2.6.2", "onnxruntime==", "numpy==1."):
        assert f"\n{pin}" in text
