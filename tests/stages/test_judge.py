"""Which candidate of a model is served, from planted losses, times and crashes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import pytest

from tests.stages import planted
from tests.stages.planted import BETWEEN, NONE, OUTSIDE, WORSE, A, B, Plant, World
from toolkit.quantization.recipe import Recipe

DET = "det"


def model(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **options: Any) -> Any:
    """What is recorded of the detector, the only model."""
    return planted.evaluated(world, monkeypatch, tmp_path, **options).result["models"][DET]


def row(entry: Any, label: str) -> Any:
    (found,) = [item for item in entry["candidates"] if item["label"] == label]
    return found


def test_the_fastest_in_int8_that_passes_is_served_and_the_sentence_says_what_latency_would_take(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plants = {(DET, A): Plant(ratio=3.0), (DET, "bf16"): Plant(ratio=4.0)}
    entry = model(World(plants, {DET: [A]}), monkeypatch, tmp_path)
    assert (entry["chosen"], entry["would_take"]) == (A.label, {"latency": "bf16"})
    assert entry["sentence"].startswith("det is served in INT8 (mse, depthwise in float")
    assert entry["sentence"].endswith("; `latency` would take bf16")


def test_what_latency_would_take_is_said_also_where_it_is_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entry = model(World({(DET, A): Plant(ratio=3.0)}, {DET: [A]}), monkeypatch, tmp_path)
    assert entry["sentence"].endswith("; `latency` would take this too")


def test_a_bf16_that_crashes_is_a_row_and_the_rest_is_judged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    died = "the child process for x was killed by SIGSEGV without an answer; its last lines:\n  Error"
    plants = {(DET, "bf16"): Plant(problem=died, crashed=True), (DET, A): Plant(ratio=3.0)}
    entry = model(World(plants, {DET: [A]}), monkeypatch, tmp_path)
    told = row(entry, "bf16")
    assert told["problem"] == "crashed: the child process for x was killed by SIGSEGV without an answer"
    assert (told["milliseconds"], told["ratio"], told["verdict"]["outcome"]) == (None, None, "fail")
    assert entry["chosen"] == A.label


@pytest.mark.parametrize(
    ("lost", "ratio", "outcome"),
    [(NONE, 2.5, None), (WORSE, 2.5, "pass"), (WORSE, 1.5, None), (NONE, 3.5, "pass")],
    ids=["INT8 is served", "INT8 fails", "FP32 is faster", "it is the fastest"],
)
def test_bf16_is_judged_only_where_it_could_be_chosen(
    lost: Any, ratio: float, outcome: Optional[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plants = {(DET, A): Plant(lost, 3.0), (DET, "bf16"): Plant(ratio=ratio)}
    world = World(plants, {DET: [A]})
    entry = model(world, monkeypatch, tmp_path)
    verdict = row(entry, "bf16")["verdict"]
    assert (verdict and verdict["outcome"]) == outcome
    assert ("det bf16" in world.asked) == (outcome is not None)
    if lost is WORSE:
        assert entry["chosen"] == ("bf16" if outcome else "fp32")


@pytest.mark.parametrize("prefer", ["latency", "int8"])
def test_bf16_that_is_as_fast_as_what_is_served_is_judged_since_it_may_lose_less(
    prefer: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plants = {(DET, A): Plant(BETWEEN, 3.0), (DET, "bf16"): Plant(ratio=2.95)}
    entry = model(World(plants, {DET: [A]}), monkeypatch, tmp_path, prefer=prefer)
    assert row(entry, "bf16")["verdict"]["outcome"] == "pass"
    assert entry["would_take"] == {"latency": "bf16"}
    assert entry["chosen"] == ("bf16" if prefer == "latency" else A.label)


def test_bf16_that_is_asked_for_is_judged_however_slow_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = World({(DET, "bf16"): Plant(ratio=0.5)})
    outcome = planted.evaluated(world, monkeypatch, tmp_path, precision="bf16")
    assert outcome.result["reason"] == "det: bf16 was asked for, but it is not faster than native FP32"


def test_a_model_that_is_refused_has_not_crashed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    problem = "int8 was asked for, but no convolution ran in it"
    entry = model(World({(DET, A): Plant(problem=problem)}, {DET: [A]}), monkeypatch, tmp_path)
    assert row(entry, A.label)["problem"] == f"did not run: {problem}"
    assert entry["chosen"] == "fp32"


def test_a_proposal_that_does_not_run_costs_the_next_one_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plants = {(DET, A): Plant(problem="no"), (DET, B): Plant(ratio=3.0)}
    assert model(World(plants, {DET: [A, B]}), monkeypatch, tmp_path)["chosen"] == B.label


@pytest.mark.parametrize(
    ("policy", "lost", "served"),
    [
        ("accept", BETWEEN, A.label),
        ("accept", OUTSIDE, B.label),
        ("next", BETWEEN, B.label),
        ("reject", BETWEEN, "fp32"),
        ("reject", WORSE, B.label),
    ],
)
def test_the_policy_decides_what_follows_on_an_inconclusive_proposal(
    policy: str, lost: Any, served: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plants = {(DET, A): Plant(lost, 4.0), (DET, B): Plant(NONE, 3.0), (DET, "bf16"): Plant(WORSE)}
    world = World(plants, {DET: [A, B]})
    entry = model(world, monkeypatch, tmp_path, inconclusive=policy)
    assert entry["chosen"] == served
    if policy == "reject" and lost is BETWEEN:
        assert f"det {B.label}" not in world.asked, "no second INT8 is looked at"


def test_recipes_with_one_label_are_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one, other = (Recipe("mse", kinds=("conv2d",), exclude=(name,)) for name in ("conv_1", "conv_2"))
    assert one.label == other.label
    plants = {(DET, one): Plant(WORSE, 4.0), (DET, other): Plant(NONE, 3.0)}
    world = World(plants, {DET: [one, other]}, search_drop={one: 0.2, other: 0.4})
    entry = model(world, monkeypatch, tmp_path)
    served = row(entry, entry["chosen"])
    assert served["recipe"]["exclude"] == entry["serving"]["recipe"]["exclude"] == ["conv_2"]
    assert (served["verdict"]["outcome"], served["search"]["drop"]) == ("pass", 0.4)
    assert entry["serving"]["label"] == entry["chosen"]


def test_of_proposals_within_the_spread_of_their_times_the_more_accurate_is_judged_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # 10 % apart; at 3 % noise that is a difference, at a spread of 12 % it is none.
    for spread, served in ((0.01, A.label), (0.12, B.label)):
        plants = {(DET, A): Plant(ratio=3.3, spread=spread), (DET, B): Plant(ratio=3.0)}
        world = World(plants, {DET: [A, B]}, search_drop={A: 0.4, B: 0.0})
        assert model(world, monkeypatch, tmp_path / str(spread))["chosen"] == served


def test_without_a_candidate_the_reason_is_the_spent_budget(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spent = {"ranking": [], "rounds": [], "stopped": "the budget of 0 s is spent, after 0 of 3 rounds"}
    world = World(searched={DET: {"races": [spent]}})
    outcome = planted.evaluated(world, monkeypatch, tmp_path, precision="int8")
    assert outcome.result["reason"] == (
        "det: int8 was asked for, but the search has found no candidate: "
        "the budget of 0 s is spent, after 0 of 3 rounds"
    )


def test_a_model_that_cannot_be_quantized_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = World(searched={DET: {"problem": "there is no layer to quantize"}})
    outcome = planted.evaluated(world, monkeypatch, tmp_path, precision="int8")
    assert str(outcome.result["reason"]).endswith("no candidate: there is no layer to quantize")
    assert model(world, monkeypatch, tmp_path / "free")["chosen"] == "fp32"
