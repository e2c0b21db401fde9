"""Whole answers with tuned options, judged before they are served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.stages import planted
from tests.stages.planted import BETWEEN, WORSE, A, Plant, World
from toolkit.errors import ChildError
from toolkit.spec.tuned import Choice
from toolkit.stages import admit, measure
from toolkit.stages.variants import Variant

OTHER = Choice(options={"det": {"limit": 640}})


def refusal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, choice: Choice, world: World, **gate: Any
) -> str | None:
    outcome = planted.evaluated(world, monkeypatch, tmp_path, **gate)
    return admit.refusal(outcome.context, outcome, choice)


def world(**planted: Any) -> World:
    return World({("det", A): Plant(ratio=3.0)}, {"det": [A]}, **planted)


@pytest.mark.parametrize(
    "choice", [OTHER, Choice(serving={"threads": 2}), Choice(variant="fp32", options=OTHER.options)]
)
def test_what_loses_nothing_may_be_served(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, choice: Choice
) -> None:
    made = world()
    assert refusal(monkeypatch, tmp_path, choice, made) is None
    assert "whole answers as tuned" in made.asked


def test_what_loses_as_much_as_the_gate_allows_may_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = refusal(monkeypatch, tmp_path, OTHER, world(tuned=WORSE))
    assert told is not None
    assert "with its options the whole loses" in told


def test_what_the_samples_do_not_decide_is_as_the_spec_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert refusal(monkeypatch, tmp_path, OTHER, world(tuned=BETWEEN)) is None
    assert refusal(monkeypatch, tmp_path / "strict", OTHER, world(tuned=BETWEEN), inconclusive="reject")


def test_what_answers_as_the_evaluation_judged_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = world(tuned=WORSE)
    choice = Choice(serving={"workers": 3, "threads": 1}, options={"det": {"limit": 960}})
    assert refusal(monkeypatch, tmp_path, choice, made) is None
    assert "whole answers as tuned" not in made.asked


def test_the_models_get_the_threads_and_options_that_were_tuned(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    outcome = planted.evaluated(world(), monkeypatch, tmp_path)
    asked: list[tuple[int, Any, bool]] = []
    fake = measure.run_pipeline

    def run_pipeline(context: Any, data: Any, chosen: dict[str, Variant], **options: Any) -> Any:
        limit = context.spec.models["det"].options["limit"]
        asked.append((chosen["det"].options.threads, limit, options.get("against") is outcome.context))
        return fake(context, data, chosen, **options)

    monkeypatch.setattr(measure, "run_pipeline", run_pipeline)
    choice = Choice(serving={"threads": 2}, options=OTHER.options)
    assert admit.refusal(outcome.context, outcome, choice) is None
    assert asked == [(1, 960, False), (2, 640, True)]


def test_what_does_not_run_with_them_may_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    outcome = planted.evaluated(world(), monkeypatch, tmp_path)
    fake = measure.run_pipeline

    def run_pipeline(*given: Any, against: Any = None) -> Any:
        if against is not None:
            raise ChildError("it crashed")
        return fake(*given)

    monkeypatch.setattr(measure, "run_pipeline", run_pipeline)
    assert "it crashed" in (admit.refusal(outcome.context, outcome, OTHER) or "")
