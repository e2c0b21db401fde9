"""The whole of it on a planted evaluation, with services that are arithmetic expressions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest
from filelock import FileLock

from tests.stages import planted
from tests.stages.planted import A, Plant, World
from tests.tuning import synthetic
from toolkit import cpu
from toolkit.errors import ReleaseError, ServiceError, SmokeError
from toolkit.serving import release
from toolkit.spec import tuned as files
from toolkit.spec.tune import TuneServingSpec, TuneSpec
from toolkit.stages import evaluate, tuned
from toolkit.stages.context import Context
from toolkit.tuning import run as tuning
from toolkit.tuning import trial
from toolkit.tuning.load import TooSlow
from toolkit.tuning.results import Point, Result
from toolkit.tuning.run import Wanted
from toolkit.tuning.space import Configuration

WORLD = World({("det", A): Plant(ratio=3.0), ("det", "bf16"): Plant(ratio=0.5)}, {"det": [A]})
BEST = {"variant": "release", "replicas": 2, "threads": 1, "workers": 3, "rec.batch_width": 2560}


class Machine:
    """Serves as fast as the expression says.

    Attributes:
        measured: configurations, in turn.
        breaks_off_at: the number of the measurement that Ctrl-C comes in.
        gain: of all but the default in the final.
        trouble: what comes of starting the rival in the final.
    """

    def __init__(self) -> None:
        self.measured: list[Configuration] = []
        self.breaks_off_at = 0
        self.gain = 1.0
        self.trouble: Optional[Exception] = None

    def measure(self, scratch: Path, configuration: Configuration, render: Any, *_: Any) -> Result:
        self.measured.append(configuration)
        if len(self.measured) == self.breaks_off_at:
            raise KeyboardInterrupt
        (scratch / "release").mkdir(parents=True, exist_ok=True)
        return replace(synthetic.measure(configuration), seconds=0.0)

    @contextmanager
    def running(self, scratch: Path, configuration: Configuration, render: Any, *_: Any) -> Iterator[Any]:
        if scratch.name == "best" and self.trouble is not None:
            raise self.trouble
        scratch.mkdir(parents=True)
        render(configuration, scratch)
        assert release.read(scratch).limits.workers == configuration.values["workers"]
        speed = synthetic.speed(configuration) * (1.0 if scratch.name == "default" else self.gain)
        yield type("Service", (), {"phase": lambda _, clients: (Point(clients, speed, 1, 1, 8), [1.0] * 8)})()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(trial, "measure", made.measure)
    monkeypatch.setattr(trial, "running", made.running)
    monkeypatch.setattr(cpu, "cores", lambda: 2)
    monkeypatch.setattr(cpu, "level", lambda: "AVX512_CORE_VNNI")
    return made


@pytest.fixture
def built(machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Context:
    """A pipeline that is ready to be tuned."""
    planted.install_convert(monkeypatch, tmp_path)
    planted.evaluated(WORLD, monkeypatch, tmp_path)
    context = planted.context(tmp_path, steps=("det",))
    return replace(context, spec=context.spec.model_copy(update={"tune": synthetic.spec().tune}))


def test_what_is_best_is_what_the_next_deployment_serves(built: Context) -> None:
    found = tuning.run(built, Wanted())
    assert found.chosen.values == BEST
    outcome = evaluate.run(built)
    plan = release.read(tuned.run(built, outcome).path)
    assert (plan.limits.replicas, plan.limits.threads, plan.limits.workers) == (2, 1, 3)
    written = files.read(built.home / files.TUNED_FILE)
    assert written is not None
    assert written.choice == found.chosen.choice
    assert written.figures["times_the_throughput"] == pytest.approx(1.32)


def test_what_was_measured_is_kept_for_people_and_programs(built: Context) -> None:
    found = tuning.run(built, Wanted())
    told = json.loads((found.folder / tuning.RESULT_FILE).read_text())
    assert told["chosen"] == BEST
    assert told["final"]["verdict"]["taken"]
    assert len(told["results"]) == len(found.results)
    assert (found.folder / tuning.PLOT_FILE).read_text().count("</svg>") == 1


def test_where_the_best_was_only_lucky_the_default_stays_and_an_older_choice_goes(
    built: Context, machine: Machine
) -> None:
    tuning.run(built, Wanted())
    machine.gain = 0.7
    found = tuning.run(built, Wanted())
    assert found.chosen == found.space.default
    assert not (built.home / files.TUNED_FILE).exists()


@pytest.mark.parametrize(
    "error", [ServiceError("it does not start"), SmokeError("it errs"), TooSlow("no answer")]
)
def test_where_the_final_fails_the_default_stays_and_the_run_is_finished(
    built: Context, machine: Machine, error: Exception
) -> None:
    tuning.run(built, Wanted())
    measured = len(machine.measured)
    machine.trouble = error
    found = tuning.run(built, Wanted())
    assert found.chosen == found.space.default
    assert found.reason == f"the final failed: {error}"
    assert not (built.home / files.TUNED_FILE).exists()
    machine.trouble = None
    tuning.run(built, Wanted())
    assert len(machine.measured) == 3 * measured


def test_what_loses_accuracy_with_its_options_is_not_chosen(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    planted.install_convert(monkeypatch, tmp_path)
    planted.evaluated(replace(WORLD, tuned=planted.WORSE), monkeypatch, tmp_path)
    context = planted.context(tmp_path, steps=("det",))
    tune = TuneSpec(serving=TuneServingSpec(workers=(3,)), options={"det": {"limit": (640,)}})
    monkeypatch.setitem(synthetic.FACTORS, "det.limit", {960: 1.0, 640: 1.5})
    found = tuning.run(replace(context, spec=context.spec.model_copy(update={"tune": tune})), Wanted())
    assert found.final is not None
    assert found.final.rival.configuration.values["det.limit"] == 640
    assert found.chosen == found.space.default
    assert found.reason.startswith("with its options the whole loses")
    assert not (context.home / files.TUNED_FILE).exists()


def test_an_older_choice_is_no_part_of_the_default(built: Context, machine: Machine) -> None:
    first = tuning.run(built, Wanted())
    second = tuning.run(built, Wanted())
    assert second.space.default == first.space.default
    assert second.chosen == first.chosen


def test_a_run_that_was_interrupted_goes_on_where_it_was(built: Context, machine: Machine) -> None:
    machine.breaks_off_at = 5
    with pytest.raises(KeyboardInterrupt):
        tuning.run(built, Wanted())
    assert not (built.home / trial.FOLDER / "scratch").exists()
    found = tuning.run(built, Wanted())
    keys = [each.key for each in machine.measured]
    assert len(keys) == len(set(keys)) + 1, "only what was interrupted is measured again"
    assert found.chosen.values == BEST


def test_a_run_that_was_interrupted_is_not_taken_up_where_other_values_are_tried(
    built: Context, machine: Machine
) -> None:
    machine.breaks_off_at = 5
    with pytest.raises(KeyboardInterrupt):
        tuning.run(built, Wanted())
    narrowed = built.spec.tune.model_copy(update={"serving": TuneServingSpec(workers=(3,))})
    tuning.run(replace(built, spec=built.spec.model_copy(update={"tune": narrowed})), Wanted())
    assert machine.measured[5].values == machine.measured[0].values


def test_services_are_ended_before_their_files_go(built: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[bool] = []
    monkeypatch.setattr(trial, "end_all", lambda path: ended.append(path.is_dir()))
    tuning.run(built, Wanted())
    assert ended == [False, True]


def test_a_run_that_was_finished_is_no_beginning_of_the_next(built: Context, machine: Machine) -> None:
    tuning.run(built, Wanted())
    first = list(machine.measured)
    tuning.run(built, Wanted())
    assert machine.measured == first * 2


def test_a_variant_that_the_gate_did_not_pass_is_never_measured(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    planted.install_convert(monkeypatch, tmp_path)
    world = World({**WORLD.plants, ("det", "fp32"): Plant(planted.BETWEEN)}, WORLD.proposals)
    planted.evaluated(world, monkeypatch, tmp_path)
    tuning.run(planted.context(tmp_path, steps=("det",)), Wanted())
    assert {each.values["variant"] for each in machine.measured} == {"release"}


def test_without_a_release_it_says_what_to_do(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    planted.install(WORLD, monkeypatch, tmp_path)
    with pytest.raises(ReleaseError) as caught:
        tuning.run(planted.context(tmp_path, steps=("det",)), Wanted())
    assert "make render MODEL=ocr" in (caught.value.remedy or "")
    assert machine.measured == []


def test_two_at_once_are_refused(built: Context) -> None:
    folder = built.home / trial.FOLDER
    folder.mkdir(parents=True)
    with FileLock(str(folder / "lock")), pytest.raises(ServiceError, match="being tuned already"):
        tuning.run(built, Wanted())
