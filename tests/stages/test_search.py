"""The tournament on planted models: which recipes lose what is known, and the search has to find it out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pytest

from toolkit import spec
from toolkit.engines.options import PredictorOptions
from toolkit.errors import ModelError
from toolkit.quantization.recipe import Recipe
from toolkit.stages import measure, optimize, search, variants
from toolkit.stages.search import Search

ROOT = Path(__file__).resolve().parents[2]
SAMPLES, LINES = 24, 50
LAYERS = [f"conv_{number}" for number in range(12)]

# Lines of each sample that a recipe gets wrong and FP32 gets right; None: it crashes.
Loss = Callable[[Recipe], Optional[int]]


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs the search for the detector of the OCR pipeline, with planted losses; what it reports."""

    def run(loss: Loss, seconds: float = 60.0) -> Any:
        def int8(context: Any, name: str, recipe: Recipe) -> Any:
            if loss(recipe) is None:
                raise ModelError("planted")
            layers = [
                {"name": layer, "int8": layer not in recipe.exclude, "activations": [{"sqnr_db": 30.0}]}
                for layer in LAYERS
            ]
            return SimpleNamespace(
                model=name,
                recipe=recipe,
                options=PredictorOptions("int8", "onednn", op_set=("conv2d",)),
                source=SimpleNamespace(info={"layers": layers}),
            )

        def run_model(context: Any, data: Any, variant: Any, split: str, part: range) -> Any:
            wrong = loss(variant.recipe) if variant.recipe else 0
            counts = [[LINES - 5 - int(wrong or 0), LINES, LINES] for _ in part]
            return SimpleNamespace(info={"counts": counts, "problem": None})

        work = [{"name": layer, "macs": 100} for layer in LAYERS]
        proof = SimpleNamespace(info={"layers": work, "macs": {"int8": 1200}})
        census = SimpleNamespace(info={"kinds": ["conv2d", "depthwise_conv2d"]})
        monkeypatch.setattr(variants, "int8", int8)
        monkeypatch.setattr(variants, "plain", lambda *_: SimpleNamespace(recipe=None))
        monkeypatch.setattr(measure, "run_model", run_model)
        monkeypatch.setattr(measure, "prove", lambda *_: proof)
        monkeypatch.setattr(optimize, "run", lambda *_: census)
        plan = spec.load(ROOT / "pipelines", "ocr")
        data: Any = SimpleNamespace(dataset=SimpleNamespace(search=range(SAMPLES)))
        context: Any = SimpleNamespace(spec=plan, budget=None)
        return Search(context, data, "det", seconds).run()

    return run


def test_what_keeps_its_accuracy_only_without_depthwise_layers_is_proposed_without_them(
    planted: Callable[..., Any],
) -> None:
    found = planted(lambda recipe: 4 if "depthwise_conv2d" in recipe.kinds else 0)
    assert search.finalists(found)
    assert all("depthwise_conv2d" not in item.kinds for item in search.finalists(found))
    assert found["fallback"] is None


def test_the_algorithm_that_loses_least_wins_the_race(planted: Callable[..., Any]) -> None:
    found = planted(lambda recipe: 0 if recipe.algorithm == "kl" else 3)
    assert {item.algorithm for item in search.finalists(found)} == {"kl"}


def test_a_planted_bad_layer_goes_back_to_float_and_no_other(planted: Callable[..., Any]) -> None:
    found = planted(lambda recipe: 0 if "conv_7" in recipe.exclude else 6)
    assert [item.exclude for item in search.finalists(found)] == [("conv_7",)]
    assert found["fallback"]["passed"]
    assert found["fallback"]["excluded"][0]["layers"] == ("conv_7",)


def test_where_nothing_helps_the_best_is_reported_and_not_promising(planted: Callable[..., Any]) -> None:
    found = planted(lambda recipe: 10)
    (best,) = search.finalists(found)
    assert not search.is_promising(found, best)
    assert not found["fallback"]["passed"]


def test_a_recipe_that_crashes_is_a_row_with_its_reason(planted: Callable[..., Any]) -> None:
    found = planted(lambda recipe: None if recipe.algorithm == "mse" else 0)
    crashed = [row for row in found["rows"] if row["problem"]]
    assert [row["problem"] for row in crashed] == ["cannot be made: planted"]
    assert all(item.algorithm != "mse" for item in search.finalists(found))


def test_if_every_recipe_crashes_there_is_no_proposal(planted: Callable[..., Any]) -> None:
    assert search.finalists(planted(lambda recipe: None)) == []


def test_without_time_nothing_is_measured_and_nothing_proposed(planted: Callable[..., Any]) -> None:
    found = planted(lambda recipe: 0, seconds=0.0)
    assert search.finalists(found) == []
    assert "budget" in found["races"][0]["stopped"]


def test_a_model_whose_fp32_does_not_run_in_onednn_is_a_search_without_proposals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(self: Search) -> Any:
        raise ModelError("the FP32 model in oneDNN crashed: planted")

    monkeypatch.setattr(Search, "run", run)
    context: Any = SimpleNamespace(spec=spec.load(ROOT / "pipelines", "ocr"), budget=None)
    data: Any = SimpleNamespace(dataset=SimpleNamespace(search=range(SAMPLES)))
    found = search._search(context, data, "det", 60, None)
    assert search.finalists(found) == []
    assert found["problem"] == "the FP32 model in oneDNN crashed: planted"
