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

    def __init__(self, *_: Any) -> None:
        self.met: list[str] = []

    def __call__(self, infer: Any, *_: Any) -> str:
        self.met.append(infer)
        return "warm"


def release() -> Any:
    steps = [
        SimpleNamespace(name=name, step=name, options={}, predictor_options=options, model=name)
        for name, options in OPTIONS.items()
    ]
    limits = SimpleNamespace(warm_seconds=3.0, memory_limit_megabytes=None)
    return SimpleNamespace(request="", request_options={}, response="", steps=steps, limits=limits)


def test_all_models_are_warmed_up_but_native_ones_which_compile_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded = Recorded()
    monkeypatch.setattr(ops, "WarmUp", lambda *_: recorded)
    monkeypatch.setattr(ops, "_load", lambda directory, item, beat: item.name)
    monkeypatch.setattr(pipeline, "resolve", lambda code, name: lambda options: None)
    monkeypatch.setattr(signature, "read", lambda place: None)
    ops.build(Path("release"), release(), lambda: None, deadline=0.0)
    assert recorded.met == ["det", "rec"]
