"""The release as this machine serves it: with what was tuned, where that still holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.stages import planted
from tests.stages.planted import BETWEEN, A, Plant, World
from toolkit import cpu
from toolkit.console import Console
from toolkit.errors import ReleaseError
from toolkit.serving import release
from toolkit.serving.release import Release
from toolkit.spec import tuned as files
from toolkit.spec.tuned import Choice, Machine, Tuned, Variant
from toolkit.stages import evaluate, render, tuned
from toolkit.stages.context import Context
from toolkit.stages.evaluate import Outcome

WORLD = World({("det", A): Plant(ratio=3.0), ("det", "bf16"): Plant(ratio=0.5)}, {"det": [A]})
FASTER = {"serving": {"replicas": 2, "threads": 2, "workers": 3}, "options": {"det": {"limit": 640}}}


@pytest.fixture
def outcome(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Outcome:
    """INT8 is served, and FP32 passes too."""
    return judged(WORLD, monkeypatch, tmp_path)


def judged(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **options: Any) -> Outcome:
    monkeypatch.setattr(cpu, "cores", lambda: 4)
    monkeypatch.setattr(cpu, "level", lambda: "AVX512_CORE_VNNI")
    planted.install_convert(monkeypatch, tmp_path)
    found = planted.evaluated(world, monkeypatch, tmp_path, **options)
    return replace(found, context=replace(found.context, console=Console()))


def tune(outcome: Outcome, variant: Variant = "release", **changes: Any) -> Path:
    choice = Choice(variant=variant, **FASTER)
    found = Tuned(
        choice=choice,
        before=choice.replaced(outcome.context.spec),
        machine=tuned.machine(),
        models=tuned.digests(outcome.context, outcome, variant),
        inputs=tuned.inputs(outcome.context, choice),
    )
    path = outcome.context.home / files.TUNED_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(files.text(found.model_copy(update=changes)))
    return path


def served(outcome: Outcome, place: str = "") -> Release:
    return release.read(tuned.run(outcome.context, outcome).path / place)


def test_the_release_is_rendered_with_what_was_tuned(
    outcome: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    before = served(outcome)
    path = tune(outcome)
    found = served(outcome)
    assert (found.limits.replicas, found.limits.workers, found.limits.threads) == (2, 3, 2)
    (step,) = found.steps
    assert step.options == {**before.steps[0].options, "limit": 640}
    assert step.predictor_options == replace(before.steps[0].predictor_options, threads=2)
    assert step.digest == before.steps[0].digest
    assert str(path) in capsys.readouterr().err


def test_paddle_serving_is_configured_with_it_too(outcome: Outcome) -> None:
    tune(outcome)
    assert "worker_num: 3" in (tuned.run(outcome.context, outcome).path / release.CONFIG_FILE).read_text()


def test_spares_have_the_options_that_they_were_judged_with(outcome: Outcome) -> None:
    before = served(outcome, "fp32")
    tune(outcome)
    found = served(outcome, "fp32")
    assert served(outcome).steps[0].options["limit"] == 640
    assert [step.options for step in found.steps] == [step.options for step in before.steps]
    assert found.limits.threads == 2


def test_a_release_that_is_made_for_elsewhere_is_not(outcome: Outcome) -> None:
    before = render.run(outcome.context, outcome)
    tune(outcome)
    assert render.run(outcome.context, outcome).key == before.key
    assert tuned.run(outcome.context, outcome).key != before.key


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"machine": Machine(cpu="", level="AVX512_CORE_VNNI", cores=8)}, "8 cores"),
        ({"machine": Machine(cpu="", level="AVX2", cores=4)}, "AVX2"),
        ({"models": {"det": "another"}}, "other models"),
        ({"before": Choice(serving={"workers": 1})}, "pipeline.yml"),
        ({"inputs": "of other code"}, "other code"),
    ],
)
def test_what_does_not_hold_any_more_is_ignored_and_told(
    outcome: Outcome, capsys: pytest.CaptureFixture[str], changes: Any, why: str
) -> None:
    before = served(outcome)
    tune(outcome, **changes)
    assert served(outcome) == before
    told = capsys.readouterr().err
    assert "is ignored" in told
    assert why in told


def test_a_choice_does_not_outlive_what_it_was_measured_with(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, choice = outcome.context, Choice(**FASTER)
    before = tuned.inputs(context, choice)
    det = context.spec.models["det"]
    for key, same in (("limit", True), ("threshold", False)):
        models = {**context.spec.models, "det": det.model_copy(update={"options": {**det.options, key: 0.1}})}
        other = replace(context, spec=context.spec.model_copy(update={"models": models}))
        assert (tuned.inputs(other, choice) == before) == same
    asked = replace(context, spec=context.spec.model_copy(update={"request_options": {"max_pixels": 1}}))
    assert tuned.inputs(asked, choice) != before
    monkeypatch.setattr(Context, "pipeline_code", lambda _: "other code")
    assert tuned.inputs(context, choice) != before


def test_the_fp32_variant_is_the_whole_release_where_that_was_chosen(outcome: Outcome) -> None:
    spare = served(outcome, "fp32")
    tune(outcome, "fp32")
    path = tuned.run(outcome.context, outcome).path
    found = release.read(path)
    assert [step.precision for step in found.steps] == ["fp32"]
    assert [step.digest for step in found.steps] == [step.digest for step in spare.steps]
    assert (found.level, found.agreement) == (None, spare.agreement)
    assert not (path / "fp32").exists()
    recorded = outcome.artifact.path / "fp32" / release.GOLDEN_DIR / release.GOLDEN_FILE
    assert (path / release.GOLDEN_DIR / release.GOLDEN_FILE).read_text() == recorded.read_text()


def test_who_asks_for_a_precision_gets_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = judged(WORLD, monkeypatch, tmp_path, precision="int8")
    assert tuned.passed(asked) == ("release",)
    tune(judged(WORLD, monkeypatch, tmp_path), "fp32")
    assert [step.precision for step in served(asked).steps] == ["int8"]
    assert "another precision was asked for" in capsys.readouterr().err


def test_it_is_told_where_another_variant_than_that_of_the_table_is_served(
    outcome: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    tune(outcome, "fp32")
    served(outcome)
    assert "FP32 variant is served, not what the table marks" in capsys.readouterr().err


def test_the_fp32_variant_may_be_chosen_where_the_gate_passed_it(outcome: Outcome) -> None:
    assert tuned.passed(outcome) == ("release", "fp32")


def test_what_the_gate_did_not_pass_may_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """FP32 in oneDNN is faster than the reference, and the samples do not decide whether it is right."""
    world = World({**WORLD.plants, ("det", "fp32"): Plant(BETWEEN)}, WORLD.proposals)
    outcome = judged(world, monkeypatch, tmp_path)
    assert outcome.result["spares"]["fp32"]["models"]["det"]["outcome"] == "inconclusive"
    assert tuned.passed(outcome) == ("release",)
    tune(outcome, "fp32")
    assert [step.precision for step in served(outcome).steps] == ["int8"]


def test_where_fp32_is_served_anyway_there_is_no_other_variant(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert tuned.passed(judged(WORLD, monkeypatch, tmp_path, precision="fp32")) == ("release",)


def test_a_configuration_is_rendered_without_the_store(outcome: Outcome, tmp_path: Path) -> None:
    target = tmp_path / "scratch"
    target.mkdir()
    render.write(outcome.context, outcome, Choice(**FASTER), target)
    assert release.read(target).limits.workers == 3
    assert not (target / "fp32").exists()
    assert release.goldens(target)


def test_what_is_not_built_is_an_error_where_nothing_is_to_be_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    planted.install(WORLD, monkeypatch, tmp_path)
    context = replace(planted.context(tmp_path, steps=("det",)), found_only=True)
    with pytest.raises(ReleaseError) as caught:
        evaluate.run(context)
    assert "make render MODEL=ocr" in (caught.value.remedy or "")
    built = evaluate.run(replace(context, found_only=False, known={}))
    assert evaluate.run(replace(context, known={})).artifact.key == built.artifact.key
