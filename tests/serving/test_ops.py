"""Which models of a release are warmed up before it serves; the engines are planted."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.jobs import attempt_all
from toolkit.child import Progress
from toolkit.engines.options import PredictorOptions

OPTIONS = {
    "det": PredictorOptions(backend="openvino"),
    "cls": PredictorOptions(backend="native"),
    "rec": PredictorOptions(backend="onednn"),
}


def release() -> Any:
    steps = [
        SimpleNamespace(name=name, step=name, options={}, predictor_options=options, model=name)
        for name, options in OPTIONS.items()
    ]
    limits = SimpleNamespace(memory_limit_megabytes=None)
    asked = {"accepts": "image", "request": "", "request_options": {}, "response": ""}
    return SimpleNamespace(**asked, steps=steps, limits=limits)


def warmed(folder: str, seconds: float, progress: Progress) -> list[str]:
    """The models that are warmed up.

    In a child: where Paddle Serving is imported it silences other loggers, and writes to the working directory.
    """
    del progress
    os.chdir(folder)
    from toolkit import pipeline
    from toolkit.engines import signature
    from toolkit.serving import ops

    met: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ops, "WarmUp", lambda *_: lambda infer, *_: met.append(infer))
        patch.setattr(ops, "_load", lambda directory, plan, item, beat: item.name)
        patch.setattr(pipeline, "resolve", lambda code, name: lambda options: None)
        patch.setattr(signature, "read", lambda place: None)
        ops.build(Path("release"), release(), lambda: None, warm_seconds=seconds, deadline=0.0)
    return met


def test_all_models_are_warmed_up_but_native_ones_and_none_in_no_time(tmp_path: Path) -> None:
    calls = [
        ("tests.serving.test_ops:warmed", {"folder": str(tmp_path), "seconds": seconds})
        for seconds in (3.0, 0.0)
    ]
    assert attempt_all(calls, tmp_path / "log") == [["det", "rec"], []]
