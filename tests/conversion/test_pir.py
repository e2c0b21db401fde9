"""What becomes of a program of Paddle 3 on the toolkit's side of the border; the scripts beyond it are stand-ins.

The real ones have their test in tests/e2e/test_new.py.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conversion.test_onnx import INFO
from tests.scaffold.models import model
from toolkit.console import Console
from toolkit.conversion import environment, onnx, pir, script
from toolkit.conversion.onnx import Converted
from toolkit.engines.inspection import Inspection
from toolkit.errors import ModelError
from toolkit.store.artifact import Store

TRIALS = [{"x": (1, 3)}]
TO_ONNX: dict[str, Any] = {
    "versions": {"paddlepaddle": "3.3.1", "paddle2onnx": "2.1.0"},
    "trials": [{"shapes": {"x": [1, 3]}, "differences": {"fetch_name_0": 1e-7}}],
}
REFUSED = {"refused": {"message": "it has an operator that is not known", "remedy": ""}}
# Both scripts, and which one refuses.
SCRIPT = """
import json, sys
from pathlib import Path
kind, order, answer = sys.argv[1], json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3])
print(kind, "is converted")
target = Path(order["target"])
told = json.loads({answers!r})[kind]
if kind == {refuse!r}:
    told = json.loads({refused!r})
elif kind == "pir":
    content = Path(order["program"]).read_bytes() + Path(order["weights"]).read_bytes()
    (target / "model.onnx").write_bytes(content)
else:
    for name in ("model.pdmodel", "model.pdiparams"):
        (target / name).write_bytes(Path(order["model"]).read_bytes())
answer.write_text(json.dumps(told))
"""


@pytest.fixture
def found(tmp_path: Path) -> Inspection:
    """A program and its weights, of which only the names and the bytes count here."""
    program, weights = tmp_path / "mine.json", tmp_path / "mine.pdiparams"
    program.write_bytes(b"a program, ")
    weights.write_bytes(b"its weights")
    inspected = model({"x": (1, 3)}, {"fetch_name_0": (1, 2)}, format_="pir")
    return replace(inspected, program=str(program), weights=str(weights))


class Place:
    """Where the scripts are stand-ins, run by this interpreter."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.script = folder, folder / "script.py"
        self.ensured: list[Path] = []

        def ensure(store: Store, lock: Path, log: Path, console: Console) -> Path:
            self.ensured.append(lock)
            return Path(sys.executable)

        monkeypatch.setattr(environment, "ensure", ensure)
        monkeypatch.setattr(script, "SCRIPT", self.script)

    def convert(self, found: Inspection, refuse: str = "") -> Converted:
        answers = json.dumps({"pir": TO_ONNX, "onnx": INFO})
        self.script.write_text(SCRIPT.format(answers=answers, refuse=refuse, refused=json.dumps(REFUSED)))
        store = Store(self.folder / "store")
        return pir.convert(found, TRIALS, store, self.folder / "logs", Console(quiet=True))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def test_a_program_becomes_an_onnx_model_and_that_a_model_of_paddle_2(
    place: Place, found: Inspection
) -> None:
    made = place.convert(found)
    assert place.ensured == [pir.LOCK, onnx.LOCK]
    assert (made.directory / "model.pdmodel").read_bytes() == b"a program, its weights"
    assert made.origin.startswith("from mine.json (SHA-256 ")
    assert made.origin.endswith(") by paddle2onnx 2.1.0 with Paddle 3.3.1, and x2paddle 1.6.0")
    assert made.compared() == [
        "ONNX: as Paddle 3.3.1, to 1e-07 of the largest value, with x [1, 3]",
        "result: as ONNX Runtime 1.19.2, to 2e-06 of the largest value, with x [1, 3]",
    ]
    assert "pir is converted" in (place.folder / "logs" / "pir.log").read_text()


def test_the_same_program_is_converted_once_and_one_with_other_weights_anew(
    place: Place, found: Inspection
) -> None:
    first = place.convert(found)
    assert place.convert(found) == first
    assert len(place.ensured) == 2
    Path(str(found.weights)).write_bytes(b"others")
    assert place.convert(found).directory != first.directory


@pytest.mark.parametrize("kind", ["pir", "onnx"])
def test_a_refusal_of_either_conversion_names_the_users_way_around_it_and_the_log(
    place: Place, found: Inspection, kind: str
) -> None:
    with pytest.raises(ModelError, match="an operator that is not known") as caught:
        place.convert(found, refuse=kind)
    assert "FLAGS_enable_pir_api=0" in str(caught.value.remedy)
    assert str(place.folder / "logs" / f"{kind}.log") in str(caught.value.remedy)
    assert caught.value.where == found.program


def test_weights_that_are_missing_beside_the_program_are_named(place: Place, found: Inspection) -> None:
    Path(str(found.weights)).unlink()
    with pytest.raises(ModelError, match=r"mine\.pdiparams is missing, which holds the weights"):
        place.convert(found)
    assert place.ensured == []


def test_where_there_is_no_lock_it_is_said_where_to_convert(
    place: Place, found: Inspection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pir, "LOCK", place.folder / "requirements-pir.lock")
    with pytest.raises(ModelError, match="in a checkout of the toolkit only"):
        place.convert(found)
