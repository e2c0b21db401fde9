"""The ops of a release: which models are warmed up, with planted engines, and what an answer may be."""

from __future__ import annotations

import math
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.jobs import attempt_all
from toolkit.child import Progress
from toolkit.client.protocol import UNPROCESSABLE
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


def answered(folder: str, progress: Progress) -> list[Any]:
    """Error number and value of the responses with a number, and with none that JSON has; a child's, as `warmed` is."""
    del progress
    os.chdir(folder)
    from toolkit.serving import ops
    from toolkit.serving.timing import Timings

    found = []
    for number in (0.5, math.nan, math.inf):
        parcel = ops.Parcel({"score": number}, Timings())
        before = SimpleNamespace(parse=lambda parcel=parcel: {ops._PARCEL: parcel}, error_code=0)
        response = ops.Answer.pack_response_package(SimpleNamespace(_respond=dict), before)
        found.append([response.err_no, list(response.value)[:1]])
    return found


def test_an_answer_with_a_number_that_json_has_not_is_an_error(tmp_path: Path) -> None:
    (found,) = attempt_all([("tests.serving.test_ops:answered", {"folder": str(tmp_path)})], tmp_path / "log")
    assert found == [[0, ['{"score": 0.5}']], [UNPROCESSABLE, []], [UNPROCESSABLE, []]]
