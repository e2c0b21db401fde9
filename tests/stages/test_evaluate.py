"""From verdicts to what is served: whole answers, models that step back, failures, and lesser CPUs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest

from tests.stages import planted
from tests.stages.planted import BETWEEN, NONE, OUTSIDE, WORSE, A, B, Plant, World
from toolkit import cpu
from toolkit.cli import result as results
from toolkit.cli import show
from toolkit.errors import GateError, InconclusiveError, SpecError
from toolkit.report import write
from toolkit.spec.judging import AgreementSpec
from toolkit.spec.service import CanarySpec, TargetsSpec, WatchSpec
from toolkit.stages import evaluate

INT8 = {(name, A): Plant(BETWEEN, 3.0) for name in ("det", "rec")}
BOTH = {"det": [A], "rec": [A]}


def chosen(outcome: Any) -> dict[str, Any]:
    return {name: entry["chosen"] for name, entry in outcome.result["models"].items()}


def test_each_may_be_served_but_not_together_so_the_worst_steps_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # 0.3 points each, 0.6 together: inconclusive, and outside the limit.
    world = World({**INT8, ("rec", A): Plant((*[0] * 37, 2, 4, 7), 3.0)}, BOTH)
    outcome = planted.evaluated(world, monkeypatch, tmp_path, steps=("det", "rec"))
    assert chosen(outcome) == {"det": A.label, "rec": "fp32"}
    assert outcome.result["end_to_end"]["verdict"]["drop"] == pytest.approx(0.3)
    assert outcome.result["passed"]
    assert not outcome.result["end_to_end"]["hypothetical"]


def test_agreement_is_that_of_what_is_served_with_native_fp32(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = World({**INT8, ("rec", A): Plant((*[0] * 37, 2, 4, 7), 3.0)}, BOTH)
    outcome = planted.evaluated(world, monkeypatch, tmp_path, steps=("det", "rec"))
    found = outcome.result["end_to_end"]["agreement"]
    # Of det alone, see above: rec is served in FP32.
    assert found["rate"] == sum(planted.BETWEEN) / (planted.SAMPLES * planted.LINES)
    assert found["rate"] < found["high"] < 0.02
    assert (found["kind"], found["path"], found["samples"]) == ("text", "lines.text", 40)
    assert "whole answers: 0.30% of text at lines.text differs from native FP32's" in show.table(
        outcome.result
    )


def test_nothing_is_compared_where_the_spec_does_not_say_what(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    outcome = evaluated_with(None, monkeypatch, tmp_path)
    assert outcome.result["end_to_end"]["agreement"] is None


def test_a_spec_that_compares_what_answers_have_not_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(SpecError) as caught:
        evaluated_with(AgreementSpec(kind="boxes", path="lines.box"), monkeypatch, tmp_path)
    assert caught.value.message == "native FP32's answer to 0.png has no boxes at lines.box"
    assert caught.value.where == str(planted.PIPELINES / "ocr" / "pipeline.yml: agreement")


def evaluated_with(rule: Optional[AgreementSpec], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    planted.install(World(), monkeypatch, tmp_path)
    context = planted.context(tmp_path, steps=("det",))
    return evaluate.run(replace(context, spec=context.spec.model_copy(update={"agreement": rule})))


def test_what_is_left_steps_back_where_the_worst_is_native_already(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = {("rec", name): Plant(ratio=0.5) for name in ("fp32", "bf16", A)}
    world = World({**slow, ("det", A): Plant(NONE, 3.0)}, BOTH)
    world.whole = {frozenset({f"det {label}", "rec native"}): WORSE for label in (A.label, "fp32", "bf16")}
    outcome = planted.evaluated(world, monkeypatch, tmp_path, steps=("det", "rec"))
    assert chosen(outcome) == {"det": "native", "rec": "native"}
    assert outcome.result["passed"]
    assert "keeps that of whole answers" in outcome.result["models"]["det"]["sentence"]


@pytest.mark.parametrize(("policy", "served"), [("accept", A.label), ("next", B.label), ("reject", "fp32")])
def test_the_policy_holds_for_whole_answers_too(
    policy: str, served: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = World({("det", A): Plant(ratio=4.0), ("det", B): Plant(ratio=3.0)}, {"det": [A, B]})
    world.whole = {frozenset({f"det {A.label}"}): BETWEEN}
    outcome = planted.evaluated(world, monkeypatch, tmp_path, inconclusive=policy)
    assert chosen(outcome) == {"det": served}


def test_native_alone_is_served_whatever_few_samples_prove(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = {("det", name): Plant(ratio=0.9) for name in ("fp32", "bf16")}
    world = World(slow, whole={frozenset({"det native"}): OUTSIDE})
    outcome = planted.evaluated(world, monkeypatch, tmp_path, inconclusive="reject")
    assert (chosen(outcome), outcome.result["passed"]) == ({"det": "native"}, True)


@pytest.mark.parametrize(
    ("policy", "lost", "kind"),
    [
        ("accept", WORSE, GateError),
        ("accept", OUTSIDE, GateError),
        ("next", BETWEEN, InconclusiveError),
        ("reject", WORSE, GateError),
    ],
)
def test_a_forced_precision_that_spoils_whole_answers_fails(
    policy: str, lost: Any, kind: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = World(proposals={"det": [A, B]}, whole={frozenset({f"det {A.label}"}): lost})
    outcome = planted.evaluated(world, monkeypatch, tmp_path, precision="int8", inconclusive=policy)
    assert str(outcome.result["reason"]).startswith("int8 was asked for, but with it the whole loses 0.") or (
        lost is WORSE
    )
    assert outcome.result["end_to_end"]["hypothetical"]
    with pytest.raises(kind) as caught:
        outcome.require()
    assert type(caught.value) is kind


def test_forced_fp32_falls_back_to_native_and_never_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = World(whole={frozenset({"det fp32"}): WORSE})
    outcome = planted.evaluated(world, monkeypatch, tmp_path, precision="fp32")
    assert (chosen(outcome), outcome.result["passed"]) == ({"det": "native"}, True)


def test_a_failed_gate_serves_nothing_and_its_report_can_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = World({("det", A): Plant(WORSE, 3.0), ("rec", A): Plant(NONE, 3.0)}, BOTH)
    outcome = planted.evaluated(world, monkeypatch, tmp_path, precision="int8", steps=("det", "rec"))
    result = outcome.result
    assert chosen(outcome) == {"det": None, "rec": A.label}
    assert result["models"]["det"]["serving"] is None
    assert result["models"]["rec"]["sentence"].startswith("rec would be served in INT8")
    assert result["end_to_end"]["verdict"]["drop"] == pytest.approx(3.0), "of INT8, not of native FP32"
    assert result["end_to_end"]["hypothetical"]
    assert [item["lost"] for item in result["gallery"]] == [3] * 12
    with pytest.raises(GateError, match=r"det: int8 was asked for, but it loses 3\.00 points"):
        outcome.require()
    page = write.write(result, tmp_path / "report").read_text()
    assert "det: int8 was asked for, but it loses 3.00 points" in page
    assert "end to end, if it were served: 87.00%" in show.table(result)
    told = results.summary(result)["models"]["det"]
    assert (told["served"], told["precision"], told["verdict"]) == (None, None, None)
    assert results.essentials(result)["models"]["det"]["serving"] is None
    assert not results.is_inconclusive(result)


def test_a_model_with_candidates_of_its_own_does_not_fail_for_the_precision_of_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = World({(name, A): Plant(ratio=3.0) for name in ("det", "rec")}, BOTH)
    steps = ("det", "cls", "rec")
    outcome = planted.evaluated(world, monkeypatch, tmp_path, precision="int8", steps=steps)
    assert chosen(outcome) == {"det": A.label, "cls": "fp32", "rec": A.label}
    assert outcome.result["passed"]


@pytest.mark.parametrize("recipe", [A, planted.with_rest(A)])
def test_what_is_served_is_made_again_with_the_options_that_were_judged(
    recipe: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = World({("det", recipe): Plant(ratio=3.0)}, {"det": [recipe]})
    outcome = planted.evaluated(world, monkeypatch, tmp_path)
    entry = outcome.result["models"]["det"]
    assert outcome.chosen["det"].options.to_json() == entry["serving"]["options"]
    assert (entry["serving"]["options"]["precision"], entry["serving"]["options"]["rest"]) == (
        "int8",
        recipe.rest,
    )


def test_int8_is_kept_for_a_lesser_cpu_only_where_it_is_faster_than_fp32_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cpu, "levels_below", lambda: ("AVX2",))
    for ratio, kept in ((3.0, A.label), (1.5, "fp32")):
        world = World({("det", A): Plant(ratio=ratio)}, {"det": [A]})
        outcome = planted.evaluated(world, monkeypatch, tmp_path / str(ratio), levels=("AVX2",))
        found = outcome.result["models"]["det"]["levels"]["AVX2"]
        assert (found["label"], found["ratio"]) == (kept, max(ratio, 2.0))
        assert [item for item in world.asked if "@" in item] == [f"{kept}@AVX2"], "no other is judged"
        assert f"kept for AVX2: {kept}" in show.table(outcome.result)


def test_what_runs_the_same_kernels_at_a_lesser_level_is_not_measured_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cpu, "levels_below", lambda: ("AVX512_CORE_VNNI",))
    world = World({("det", A): Plant(ratio=3.0)}, {"det": [A]}, alike=[A.label, "fp32"])
    outcome = planted.evaluated(world, monkeypatch, tmp_path, levels=("AVX512_CORE_VNNI",))
    entry = outcome.result["models"]["det"]
    found = entry["levels"]["AVX512_CORE_VNNI"]
    (here,) = (item for item in entry["candidates"] if item["label"] == A.label)
    assert (found["label"], found["verdict"], found["ratio"]) == (A.label, here["verdict"], here["ratio"])
    assert not [item for item in world.asked if "@" in item]
    assert world.timed == [None]


def test_times_are_taken_anew_where_one_of_those_compared_runs_other_kernels(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cpu, "levels_below", lambda: ("AVX512_CORE",))
    world = World({("det", A): Plant(ratio=3.0)}, {"det": [A]}, alike=["fp32"])
    planted.evaluated(world, monkeypatch, tmp_path, levels=("AVX512_CORE",))
    assert world.timed == [None, "AVX512_CORE"]
    assert f"{A.label}@AVX512_CORE" in world.asked


def test_what_stepped_back_is_not_kept_for_lesser_cpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cpu, "levels_below", lambda: ("AVX2",))
    world = World({("det", A): Plant(ratio=3.0)}, {"det": [A]})
    world.whole = {frozenset({f"det {A.label}"}): WORSE}
    outcome = planted.evaluated(world, monkeypatch, tmp_path, levels=("AVX2",))
    assert chosen(outcome) == {"det": "fp32"}
    assert outcome.result["models"]["det"]["levels"]["AVX2"]["label"] == "fp32"


@pytest.mark.parametrize(
    "change",
    [
        {"targets": TargetsSpec(cpus=8)},
        {"canary": CanarySpec(max_errors=0.1)},
        {"watch": WatchSpec(sample=0.1)},
    ],
    ids=str,
)
def test_where_and_how_a_release_is_rolled_out_changes_nothing_of_what_is_judged(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = planted.evaluated(World(), monkeypatch, tmp_path)
    elsewhere = here.context.spec.model_copy(update=change)
    again = evaluate.run(replace(here.context, spec=elsewhere, known={}))
    assert again.artifact.key == here.artifact.key


def test_without_labels_the_result_says_what_its_figures_cannot(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = World({("det", A): Plant((*[0] * 9, 1, *[0] * 30), 3.0)}, {"det": [A]})
    planted.install(world, monkeypatch, tmp_path)
    context = planted.context(tmp_path, steps=("det",))
    compared = AgreementSpec(kind="top1", path="lost")
    plan = context.spec.model_copy(update={"judge": "agreement", "agreement": compared})
    outcome = evaluate.run(replace(context, spec=plan))
    whole = outcome.result["end_to_end"]
    assert whole["by"] == "agreement"
    assert whole["labelled"]["native"] == {"samples": 10, "top1": 1, "top5": 1}
    assert whole["labelled"]["served"]["top1"] == 0.9
    (limit,) = outcome.result["data"]["limits"]
    assert "accuracy was not judged" in limit
    told = show.table(outcome.result)
    assert "answers those of native FP32" in told
    assert "of the 10 samples with labels: top-1 90.00% and" in told
    assert f"note: {limit}" in told
    assert limit in write.write(outcome.result, tmp_path / "report").read_text()
    whole["agreement"]["kind"] = "boxes"
    assert "boxes those of native FP32" in show.table(outcome.result)


def test_with_labels_there_is_nothing_that_the_figures_cannot_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    outcome = planted.evaluated(World(dict(INT8), BOTH), monkeypatch, tmp_path)
    assert outcome.result["data"]["limits"] == []
    assert (outcome.result["end_to_end"]["by"], outcome.result["end_to_end"]["labelled"]) == ("labels", None)
