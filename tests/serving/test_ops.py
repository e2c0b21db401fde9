"""Which models of a release are warmed up before it serves; the engines are planted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from toolkit import pipeline
from toolkit.engines import signature
from toolkit.engines.options import PredictorOptions
from toolkit.serving import ops

OPTIONS = {
    "det": PredictorOptions(backend="openvino"),
    "cls": PredictorOptions(backend="native"),
    "rec": PredictorOptions(backend="onednn"),
}


class Recorded:
    """In place of a warm-up."""

    def __init__(self) -> None:
        self.met: list[str] = []

    def __call__(self, infer: Any, *_: Any) -> str:
        self.met.append(infer)
        return "warm"


def release() -> Any:
    steps = [
        SimpleNamespace(name=name, step=name, options={}, predictor_options=options, model=name)
        for name, options in OPTIONS.items()
    ]
    limits = SimpleNamespace(memory_limit_megabytes=None)
    return SimpleNamespace(request="", request_options={}, response="", steps=steps, limits=limits)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """What is warmed up."""
    found = Recorded()
    monkeypatch.setattr(ops, "WarmUp", lambda *_: found)
    monkeypatch.setattr(ops, "_load", lambda directory, item, beat: item.name)
    monkeypatch.setattr(pipeline, "resolve", lambda code, name: lambda options: None)
    monkeypatch.setattr(signature, "read", lambda place: None)
    return found


def test_all_models_are_warmed_up_but_native_ones_which_compile_nothing(recorded: Recorded) -> None:
    ops.build(Path("release"), release(), lambda: None, warm_seconds=3.0, deadline=0.0)
    assert recorded.met == ["det", "rec"]


def test_nothing_is_warmed_up_where_there_is_to_be_no_warm_up(recorded: Recorded) -> None:
    ops.build(Path("release"), release(), lambda: None, warm_seconds=0.0, deadline=0.0)
    assert recorded.met == []
