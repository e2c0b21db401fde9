"""What becomes of candidates that do not run when times are measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pytest

from tests.stages import planted
from toolkit import child, spec
from toolkit.console import Console
from toolkit.engines.options import PredictorOptions
from toolkit.errors import ChildError
from toolkit.stages import measure, variants
from toolkit.stages.context import Context
from toolkit.stages.variants import Variant


def variant(name: str, backend: str = "onednn") -> Variant:
    return Variant("det", PredictorOptions(backend=backend), planted.artifact({}, name))


NATIVE = variant("native", "native")


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Times variants of these names; `deadly` ones take their process with them, `idle` ones have no proof."""
    asked: list[list[str]] = []

    def run(*names: str, deadly: str = "", idle: str = "", level: Optional[str] = None) -> Any:
        variants = [NATIVE, *map(variant, names)]
        by_place = {id(item): item.source.key for item in variants}

        def time(_: Any, __: Any, items: Any, ___: Any) -> list[Mapping[str, Any]]:
            asked.append([by_place[id(item)] for item in items])
            if deadly and deadly in asked[-1]:
                raise ChildError("the child process was killed by SIGSEGV")
            return [{"milliseconds": float(len(asked))} for _ in items]

        def prove(_: Any, item: Variant, ___: Optional[str]) -> Any:
            return planted.artifact({"problem": "planted" if item.source.key == idle else None})

        monkeypatch.setattr(measure, "_time", time)
        monkeypatch.setattr(measure, "prove", prove)
        data: Any = SimpleNamespace()
        found = measure.latencies(planted.context(tmp_path), data, variants, level)
        return [item["milliseconds"] for item in found], asked

    return run


def test_what_has_proven_not_to_run_is_not_timed(timed: Any) -> None:
    assert timed("a", "b", idle="a") == ([1.0, None, 1.0], [["native", "b"]])


def test_where_a_candidate_takes_the_process_with_it_each_is_timed_alone(timed: Any) -> None:
    figures, asked = timed("a", "b", deadly="a")
    assert figures[1] is None
    assert figures[2] is not None
    assert asked == [["native", "a", "b"], ["native", "a"], ["native"], ["native", "b"]]


def test_the_reference_has_a_time_also_where_nothing_else_runs(timed: Any) -> None:
    assert timed("a", idle="a") == ([1.0, None], [["native"]])


def test_no_more_than_five_candidates_share_the_memory_of_a_process(timed: Any) -> None:
    _, asked = timed(*"abcdefg")
    assert asked == [["native", *"abcde"], ["native", *"fg"]]


def test_a_reference_that_does_not_run_ends_the_evaluation(timed: Any) -> None:
    with pytest.raises(ChildError):
        timed("a", "b", deadly="native")


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"problem": None}, None),
        ({"problem": "nothing ran in int8", "crashed": False}, "did not run: nothing ran in int8"),
        ({"problem": "killed; its last lines:\n  a\n  b", "crashed": True}, "crashed: killed"),
    ],
)
def test_a_problem_is_one_line_and_only_a_dead_process_is_a_crash(
    info: Mapping[str, Any], words: Optional[str]
) -> None:
    assert measure.problem_of(planted.artifact(info)) == words


def test_times_at_a_level_are_taken_at_that_level(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environments: list[Any] = []

    def call(_: str, arguments: Mapping[str, Any], **options: Any) -> Any:
        environments.append(options["env"])
        return {"figures": [{} for _ in arguments["candidates"]]}

    monkeypatch.setattr(child, "call", call)
    data: Any = SimpleNamespace(directory=tmp_path)
    measure.latencies(planted.context(tmp_path), data, [NATIVE], "AVX2")
    assert environments[0]["ONEDNN_MAX_CPU_ISA"] == "AVX2"


@pytest.fixture
def by_agreement(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A pipeline without labels, and what child processes were asked to measure, by their judge's options."""
    plan = spec.load(planted.PIPELINES, "resnet50")
    context = Context(plan, tmp_path, None, None, Console(quiet=True))
    told: list[Mapping[str, Any]] = []

    def call(function: str, arguments: Mapping[str, Any], **_: Any) -> Mapping[str, Any]:
        told.append({"part": arguments["part"], **arguments["judge"][1]})
        return {"counts": [[1, 1, 1]], "names": ["a"], "answers": [{"classes": [{"id": 3}]}], "images": ["a"]}

    monkeypatch.setattr(child, "call", call)
    native = Variant("net", PredictorOptions(), planted.artifact({}, "native"))
    monkeypatch.setattr(variants, "native", lambda *_: native)
    samples = [SimpleNamespace(file=Path("a.jpg"))] * 9
    dataset = SimpleNamespace(split=lambda _: samples, validation=samples)
    data: Any = SimpleNamespace(dataset=dataset, digest="digest", directory=tmp_path)
    candidate = Variant("net", PredictorOptions(backend="onednn"), planted.artifact({}, "fp32"))
    return context, data, native, candidate, told


ANSWERED = {"a": {"classes": [{"id": 3}]}}


def test_without_labels_native_fp32_answers_first_and_others_are_judged_by_that(by_agreement: Any) -> None:
    context, data, native, candidate, told = by_agreement
    measure.run_model(context, data, candidate, "search", range(0, 9, 3))
    assert [item.get("reference") for item in told] == [None, ANSWERED]
    assert [item["part"] for item in told] == [[0, 9, 1], [0, 9, 3]], "all of it, once for all parts"
    measure.run_model(context, data, native, "search")
    assert len(told) == 2


def test_the_only_model_s_answers_are_whole_answers_and_not_measured_again(by_agreement: Any) -> None:
    context, data, _, candidate, told = by_agreement
    measured = measure.run_model(context, data, candidate, "validation")
    whole = measure.run_pipeline(context, data, {"net": candidate})
    assert len(told) == 2, "native FP32's, and the candidate's"
    assert whole.key == measured.key
    assert whole.info["answers"] == measured.info["answers"]
    assert whole.info["images"] == ["a.jpg"] * 9


def test_other_options_are_judged_by_the_reference_s_answers_with_its_own(by_agreement: Any) -> None:
    context, data, native, candidate, told = by_agreement
    net = context.spec.models["net"]
    for judge in (net.judge, "judge:Classes"):
        mine = net.model_copy(update={"judge": judge})
        plain = replace(context, spec=context.spec.model_copy(update={"models": {"net": mine}}))
        other = mine.model_copy(update={"options": {**mine.options, "resize": 300}})
        tuned = replace(context, spec=context.spec.model_copy(update={"models": {"net": other}}))
        measure.run_pipeline(plain, data, {"net": native})
        before = len(told)
        for chosen in (candidate, native):
            measure.run_pipeline(tuned, data, {"net": chosen}, against=plain)
        assert [item.get("reference") for item in told[before:]] == [ANSWERED, ANSWERED], (
            "it has answered already"
        )


def test_whole_answers_without_labels_are_judged_by_those_of_native_fp32(by_agreement: Any) -> None:
    context, data, native, candidate, told = by_agreement
    net = context.spec.models["net"].model_copy(update={"judge": "judge:Classes"})
    context = replace(context, spec=context.spec.model_copy(update={"models": {"net": net}}))
    measure.run_pipeline(context, data, {"net": candidate})
    assert [item.get("reference") for item in told] == [None, ANSWERED]
    assert all(item["response"] is None for item in told), "they are answers already"
    measure.run_pipeline(context, data, {"net": native})
    assert len(told) == 2
