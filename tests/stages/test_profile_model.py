"""Operators of one model before and after; what the engine reports is planted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from toolkit import child
from toolkit.console import Console
from toolkit.engines.options import PredictorOptions
from toolkit.errors import DataError, ModelError
from toolkit.serving import release
from toolkit.stages import export, profile_model
from toolkit.stages.profile_model import side_by_side

INT8 = PredictorOptions("int8", "onednn", threads=2, cache_capacity=8, op_set=("conv2d",))


def kinds(*rows: tuple[str, str, float]) -> dict[str, Any]:
    return {"kinds": [{"kind": kind, "dtype": dtype, "milliseconds": time} for kind, dtype, time in rows]}


def test_a_kind_is_one_block_the_most_costly_first_with_its_types_on_both_sides() -> None:
    before = kinds(("convolution", "fp32", 60), ("binary", "fp32", 20))
    after = kinds(("convolution", "int8", 17), ("reorder", "fp32", 30), ("convolution", "fp32", 8))
    rows = [
        (
            row["kind"],
            *(side and (side["dtype"], side["milliseconds"]) for side in (row["before"], row["after"])),
        )
        for row in side_by_side(before, after)
    ]
    assert rows == [
        ("convolution", ("fp32", 60), ("int8", 17)),
        ("convolution", None, ("fp32", 8)),
        ("reorder", None, ("fp32", 30)),
        ("binary", ("fp32", 20), None),
    ]


def plan(options: PredictorOptions) -> Any:
    steps = [
        SimpleNamespace(
            name=name,
            model=name,
            precision=options.precision,
            step="ops:Step",
            options={},
            predictor_options=options,
        )
        for name in ("det", "rec")
    ]
    return SimpleNamespace(
        name="ocr",
        steps=steps,
        accepts="image",
        request="ops:decode",
        request_options={},
        response="ops:answer",
    )


@pytest.fixture
def observed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Mapping[str, Any]]:
    """The ways that were observed; `rec` has one operator."""
    ways: list[Mapping[str, Any]] = []

    def call(function: str, arguments: Mapping[str, Any], **_: Any) -> Any:
        assert function == "toolkit.evaluation.profile:observe"
        ways.append(arguments["way"])
        dtype = {"fp32": "fp32", "int8": "int8"}[arguments["way"]["steps"][1]["options"]["precision"]]
        operator = {
            "name": "a",
            "heavy": False,
            "kind": "convolution",
            "dtype": dtype,
            "implementation": "jit",
            "problem": "",
            "weight": [],
            "milliseconds": 4.0,
        }
        made = {"calls": 0, "milliseconds": 0.0}
        return {"inferences": [{"model": "rec", "operators": [operator], "made": made, "outside": 1.0}]}

    monkeypatch.setattr(child, "call", call)
    monkeypatch.setattr(release, "read", lambda _: plan(INT8))
    monkeypatch.setattr(export, "run", lambda _, name: SimpleNamespace(path=tmp_path / f"exported-{name}"))
    return ways


def context(tmp_path: Path) -> Any:
    return SimpleNamespace(console=Console(quiet=True), logs=tmp_path)


def test_before_is_the_same_request_with_that_model_alone_as_it_was_exported(
    tmp_path: Path, observed: list[Mapping[str, Any]]
) -> None:
    found = profile_model.run(context(tmp_path), tmp_path, "rec", Path("page.png"), 3)
    before, after = observed
    assert before["steps"][0] == after["steps"][0]
    assert before["steps"][1]["model_dir"] == str(tmp_path / "exported-rec")
    assert (
        before["steps"][1]["options"]
        == PredictorOptions(backend="onednn", threads=2, cache_capacity=8).to_json()
    )
    assert after["steps"][1]["options"] == INT8.to_json()
    assert (found["images"], found["threads"]) == (["page.png"], 2)
    (row,) = found["rows"]
    assert (row["before"]["dtype"], row["after"]["dtype"]) == ("fp32", "int8")
    assert found["before"]["milliseconds"] == 5


def test_a_model_that_has_nothing_to_do_is_told(tmp_path: Path, observed: list[Mapping[str, Any]]) -> None:
    with pytest.raises(DataError, match="nothing for det to infer"):
        profile_model.run(context(tmp_path), tmp_path, "det", Path("page.png"), 3)


@pytest.mark.parametrize(
    ("backend", "engine"), [("native", "native FP32"), ("openvino", "OpenVINO")], ids=["native", "openvino"]
)
def test_what_does_not_run_in_onednn_under_paddle_has_no_operators_to_show(
    tmp_path: Path,
    observed: list[Mapping[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    engine: str,
) -> None:
    monkeypatch.setattr(release, "read", lambda _: plan(PredictorOptions(backend=backend)))
    with pytest.raises(ModelError, match=f"rec is served in {engine}, and oneDNN under Paddle is what"):
        profile_model.run(context(tmp_path), tmp_path, "rec", None, 3)
    assert observed == []
