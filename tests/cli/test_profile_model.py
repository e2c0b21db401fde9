"""`toolkit profile-model` as people and programs see it; what it shows is planted."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from toolkit.cli import profile_model as command
from toolkit.stages import evaluate, profile_model, tuned


def entry(dtype: str, milliseconds: float, calls: float = 2.0) -> dict[str, Any]:
    return {"kind": "convolution", "dtype": dtype, "milliseconds": milliseconds, "calls": calls}


def side(whole: float, outside: float) -> dict[str, Any]:
    return {
        "milliseconds": whole,
        "made": {"calls": 0.0, "milliseconds": 0.0},
        "outside": {"milliseconds": outside},
    }


FOUND = {
    "name": "ocr",
    "step": "rec",
    "precision": "int8",
    "threads": 2,
    "images": ["a.png"],
    "before": side(30.0, 5.0),
    "after": side(12.0, 4.0),
    "rows": [
        {"kind": "convolution", "before": entry("fp32", 25.0), "after": entry("int8", 6.0)},
        {"kind": "convolution", "before": None, "after": entry("fp32", 2.0, 1.0)},
    ],
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the stage was asked."""
    calls: list[Any] = []

    def run(context: Any, directory: Path, *rest: Any) -> Any:
        calls.append((directory, *rest))
        return FOUND

    monkeypatch.setattr(evaluate, "run", lambda context: None)
    monkeypatch.setattr(tuned, "run", lambda context, outcome: SimpleNamespace(path=Path("tuned")))
    monkeypatch.setattr(profile_model, "run", run)
    return calls


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(command.profile_model_command, arguments)


def test_both_sides_stand_beside_each_other(asked: list[Any]) -> None:
    result = invoke("--step", "rec")
    assert asked == [(Path("tuned"), "rec", None, 5)]
    first, *lines = result.output.splitlines()
    assert first == "rec of ocr, 1 file: 2 threads, milliseconds a request, by oneDNN's report"
    rows = [line.split() for line in lines if line]
    assert ["as", "exported,", "FP32", "as", "served,", "INT8"] in rows
    assert ["convolution", "fp32", "25.00", "2.0", "int8", "6.00", "2.0"] in rows
    assert ["fp32", "2.00", "1.0"] in rows
    assert ["all", "30.00", "12.00"] in rows
    assert rows[-1][:4] == ["2.50", "times", "as", "fast,"]
    assert "made anew" not in result.output


def test_programs_get_one_object(asked: list[Any]) -> None:
    assert json.loads(invoke("--step", "rec", "--json").output) == FOUND


def test_which_model_has_to_be_said_where_there_are_several(asked: list[Any]) -> None:
    for arguments in ((), ("--step", "cls")):
        result = invoke(*arguments)
        assert result.exit_code == 2
        assert "takes one of: det, rec" in result.output
    assert asked == []
