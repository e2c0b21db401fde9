"""What is kept beside what is served: FP32 as it would be served alone, and what lesser CPUs run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.stages import planted
from tests.stages.planted import NONE, WORSE, A, Plant, World
from toolkit import cpu
from toolkit.stages import evaluate

BOTH = {"det": [A], "rec": [A]}
FAST = {(name, A): Plant(ratio=3.0) for name in ("det", "rec")}
STEPS = ("det", "rec")


@pytest.fixture(autouse=True)
def lesser_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "levels_below", lambda: ("AVX2",))


def labels(outcome: Any, place: str) -> dict[str, str]:
    return {name: entry["label"] for name, entry in outcome.result["spares"][place]["models"].items()}


def golden(outcome: Any, place: str) -> Any:
    return json.loads((outcome.artifact.path / place / "golden" / "golden.json").read_text())


def test_fp32_is_kept_as_it_would_be_served_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = World({**FAST, ("rec", "fp32"): Plant(WORSE, 2.0)}, BOTH)
    outcome = planted.evaluated(world, monkeypatch, tmp_path / "int8", steps=STEPS)
    alone = planted.evaluated(world, monkeypatch, tmp_path / "fp32", precision="fp32", steps=STEPS)
    assert labels(outcome, "fp32") == {"det": "fp32", "rec": "native"}
    assert labels(outcome, "fp32") == {n: e["chosen"] for n, e in alone.result["models"].items()}
    assert golden(outcome, "fp32") == golden(alone, "")
    outcomes = {name: entry["outcome"] for name, entry in outcome.result["spares"]["fp32"]["models"].items()}
    assert outcomes == {"det": "pass", "rec": ""}


def test_whole_answers_decide_on_fp32_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = World({("det", A): Plant(ratio=3.0)}, {"det": [A]}, whole={frozenset({"det fp32"}): WORSE})
    outcome = planted.evaluated(world, monkeypatch, tmp_path)
    assert labels(outcome, "fp32") == {"det": "native"}
    assert outcome.result["spares"]["fp32"]["end_to_end"]["drop"] == 0


def test_golden_answers_are_those_of_the_spare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lossy = (1, *[0] * 39)
    world = World({("det", A): Plant(lossy, 3.0)}, {"det": [A]})
    outcome = planted.evaluated(world, monkeypatch, tmp_path)
    lost = {place: [item["answer"]["lost"] for item in golden(outcome, place)] for place in ("", "fp32")}
    assert lost == {"": [1, 0, 0, 0], "fp32": [0, 0, 0, 0]}


def test_agreement_at_a_lesser_level_is_known_where_all_samples_are_golden(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = World({("det", A): Plant((4, *[0] * 39), 3.0)}, {"det": [A]})
    planted.install(world, monkeypatch, tmp_path)
    few = planted.context(tmp_path / "few", steps=("det",), levels=("AVX2",))
    everything = replace(few, spec=few.spec.model_copy(update={"golden": 40}), build=tmp_path / "all")
    found = [evaluate.run(item).result["spares"]["levels/AVX2"]["agreement"] for item in (few, everything)]
    assert found[0] is None
    assert (found[1]["samples"], found[1]["rate"]) == (40, 4 / 4000)


def test_fp32_needs_no_spare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    outcome = planted.evaluated(World(), monkeypatch, tmp_path, precision="fp32", levels=("AVX2",))
    assert outcome.result["spares"] == {}
    assert not (outcome.artifact.path / "fp32").exists()


def test_a_lesser_cpu_has_what_was_kept_for_it_and_its_own_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = World({("det", A): Plant(ratio=1.5), ("det", "bf16"): Plant(ratio=0.5)}, {"det": [A]})
    outcome = planted.evaluated(world, monkeypatch, tmp_path, levels=("AVX2",))
    assert labels(outcome, "levels/AVX2") == {"det": "fp32"}
    assert outcome.result["spares"]["levels/AVX2"]["end_to_end"] is None, "it was not judged"
    world.plants["det", A] = Plant(ratio=3.0)
    same = planted.evaluated(world, monkeypatch, tmp_path / "same", levels=("AVX2",))
    assert labels(same, "levels/AVX2") == {"det": A.label}, "the same model gives other answers there"
    assert {item["answer"]["level"] for item in golden(same, "levels/AVX2")} == {"AVX2"}


def test_bf16_of_a_model_without_int8_is_not_carried_to_a_lesser_cpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plants = {("det", A): Plant(NONE, 3.0), ("rec", "bf16"): Plant(NONE, 3.0)}
    planted.install(World(plants, {"det": [A]}), monkeypatch, tmp_path)
    context = planted.context(tmp_path, steps=STEPS, levels=("AVX2",))
    models = dict(context.spec.models)
    models["rec"] = models["rec"].model_copy(update={"candidates": ("bf16", "fp32")})
    outcome = evaluate.run(replace(context, spec=context.spec.model_copy(update={"models": models})))
    assert outcome.result["models"]["rec"]["chosen"] == "bf16"
    assert labels(outcome, "levels/AVX2") == {"det": A.label, "rec": "fp32"}


def test_nothing_is_kept_beside_what_may_not_be_served(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = World({("det", A): Plant(WORSE, 3.0)}, {"det": [A]})
    outcome = planted.evaluated(world, monkeypatch, tmp_path, precision="int8", levels=("AVX2",))
    assert (outcome.result["passed"], outcome.result["spares"]) == (False, {})
