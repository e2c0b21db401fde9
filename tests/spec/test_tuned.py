from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.stages.planted import PIPELINES
from toolkit.errors import SpecError
from toolkit.spec import load, tuned
from toolkit.spec.tuned import Choice, Machine, Tuned

SPEC = load(PIPELINES, "ocr")
HERE = Machine(cpu="a processor", level="AVX512_CORE_VNNI", cores=2)
MODELS = {"det": "a", "rec": "b"}
CHOICE = Choice(serving={"workers": 3, "replicas": 2}, options={"rec": {"batch_width": 640}})
TUNED = Tuned(choice=CHOICE, before=CHOICE.replaced(SPEC), machine=HERE, models=MODELS, inputs="abc")


def machine(**changes: Any) -> Machine:
    return HERE.model_copy(update=changes)


def test_a_choice_replaces_its_values_and_no_others() -> None:
    spec = CHOICE.applied(SPEC)
    assert (spec.serving.workers, spec.serving.replicas) == (3, 2)
    assert spec.serving.threads == SPEC.serving.threads
    assert spec.models["rec"].options == {**SPEC.models["rec"].options, "batch_width": 640}
    assert spec.models["det"] == SPEC.models["det"]
    assert spec.directory == SPEC.directory


@pytest.mark.parametrize("serving", [{"workers": 0}, {"workers": "two"}, {"wrkers": 2}])
def test_a_value_that_serving_does_not_take_is_refused(serving: Any) -> None:
    with pytest.raises(SpecError, match="no value of `serving`"):
        Choice(serving=serving).applied(SPEC)


def test_no_choice_changes_nothing() -> None:
    assert Choice().applied(SPEC) == SPEC


def test_what_was_tuned_holds_for_what_it_was_measured_on() -> None:
    assert TUNED.stale(SPEC, HERE, MODELS, "abc") is None
    assert TUNED.stale(SPEC, machine(cpu="another of that kind"), MODELS, "abc") is None


def test_it_does_not_hold_for_another_machine() -> None:
    assert "on 2 cores, here are 4" in (TUNED.stale(SPEC, machine(cores=4), MODELS, "abc") or "")
    assert "AVX2" in (TUNED.stale(SPEC, machine(level="AVX2"), MODELS, "abc") or "")


def test_it_does_not_hold_for_other_models() -> None:
    assert "other models" in (TUNED.stale(SPEC, HERE, {**MODELS, "rec": "c"}, "abc") or "")
    assert "may not be served" in (TUNED.stale(SPEC, HERE, {}, "abc") or "")


def test_it_does_not_hold_for_other_code_and_options() -> None:
    assert "other code" in (TUNED.stale(SPEC, HERE, MODELS, "def") or "")


@pytest.mark.parametrize(
    "choice", [Choice(serving={"workers": 1, "replicas": 2}), Choice(options={"rec": {"batch_width": 320}})]
)
def test_it_gives_way_to_who_edits_one_of_its_values_in_the_spec(choice: Choice) -> None:
    assert "pipeline.yml" in (TUNED.stale(choice.applied(SPEC), HERE, MODELS, "abc") or "")


def test_an_edit_of_another_value_does_not_matter() -> None:
    assert TUNED.stale(Choice(serving={"queue": 5}).applied(SPEC), HERE, MODELS, "abc") is None


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "tuning.yml"
    assert tuned.read(path) is None
    path.write_text(tuned.text(TUNED), encoding="utf-8")
    assert tuned.read(path) == TUNED
    assert path.read_text().startswith("# What `make tune`")


@pytest.mark.parametrize("text", ["choice: [", "choice: {workers: 2}", "", "nothing"])
def test_a_damaged_file_says_what_to_do(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tuning.yml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        tuned.read(path)
    assert caught.value.where == str(path)
    assert "make tune" in (caught.value.remedy or "")
