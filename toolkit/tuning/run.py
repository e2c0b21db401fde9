"""tune: the whole of it, from a release that was built to the file that the next deployment reads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Optional

from filelock import FileLock, Timeout

from toolkit.data.labels import Sample
from toolkit.errors import ServiceError, SmokeError
from toolkit.spec import tuned as files
from toolkit.spec.tuned import TUNED_FILE, Tuned
from toolkit.stages import admit, dataset, evaluate, render, tuned
from toolkit.stages.context import Context
from toolkit.stages.evaluate import Outcome
from toolkit.store import digest, durable
from toolkit.tuning import contest, plot, results, space, trial
from toolkit.tuning.contest import Budget, Final
from toolkit.tuning.journal import Journal
from toolkit.tuning.results import Bounds, Point, Result
from toolkit.tuning.space import Configuration, Space
from toolkit.tuning.trial import FOLDER, SCRATCH, Aim, Load

JOURNAL_FILE, RESULT_FILE, PLOT_FILE = "journal.jsonl", "result.json", "tuning.svg"

_PHASE_SECONDS = 4.0


@dataclass(frozen=True)
class Wanted:
    """What the user asks for; None: what the spec says.

    Attributes:
        p99: milliseconds.
        memory: megabytes.
        budget: seconds.
    """

    p99: Optional[float] = None
    memory: Optional[float] = None
    budget: Optional[float] = None


@dataclass(frozen=True)
class Tuning:
    """What came of it.

    Attributes:
        chosen: what the file says; the default where there is none.
        final: None: nothing was within the bounds and better in the search, or the final failed.
        reason: of the choice, in words.
    """

    space: Space
    bounds: Bounds
    results: Sequence[Result]
    chosen: Configuration
    final: Optional[Final]
    reason: str
    folder: Path

    @property
    def pareto(self) -> list[tuple[Result, Point]]:
        """What is not beaten in throughput and p99 both."""
        return results.pareto(self.results)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        final = self.final
        return {
            "bounds": asdict(self.bounds),
            "default": dict(self.space.default.values),
            "chosen": dict(self.chosen.values),
            "reason": self.reason,
            "configurations": len(self.space.configurations),
            "results": [result.to_json() for result in self.results],
            "pareto": [
                {"configuration": dict(result.configuration.values), **asdict(point), "memory": result.memory}
                for result, point in self.pareto
            ],
            "final": final
            and {
                "default": final.default.to_json(),
                "best": final.best.to_json(),
                "verdict": final.verdict.to_json(),
            },
        }


def run(context: Context, wanted: Wanted) -> Tuning:
    """Measure, and write `tuning.yml`, or remove it where the default is best.

    Raises:
        ReleaseError: the pipeline has not been built as it is now.
        GateError, InconclusiveError: the gate passed nothing.
        ServiceError: it is being tuned already, or the default cannot be served.
    """
    outcome = evaluate.run(replace(context, found_only=True))
    built = render.run(context, outcome)
    folder = context.home / FOLDER
    with _alone(folder), _scratch(folder / SCRATCH) as scratch:
        return _run(context, outcome, built.key, wanted, folder, scratch)


def _run(context: Context, outcome: Outcome, key: str, wanted: Wanted, folder: Path, scratch: Path) -> Tuning:
    spec, machine = context.spec, tuned.machine()
    target = wanted.p99 or spec.tune.target_p99_milliseconds
    memory = wanted.memory or spec.tune.memory_megabytes
    whole = space.of(spec, machine.cores, tuned.passed(outcome))
    samples = _spread(dataset.run(context).dataset.validation, spec.tune.images)
    demand = Load([sample.file.read_bytes() for sample in samples], spec.tune.clients, _PHASE_SECONDS)
    journal = Journal(
        folder / JOURNAL_FILE,
        {
            "release": key,
            "machine": machine.model_dump(),
            "images": [digest.of_file(sample.file) for sample in samples],
            "clients": spec.tune.clients,
            "seconds": demand.seconds,
            "target": target,
            "configurations": [each.values for each in whole.configurations],
        },
    )
    budget = Budget(wanted.budget or spec.tune.budget_seconds)

    def say(text: str) -> None:
        context.console.say(f"  tune       [{budget.spent:3.0f} of {budget.seconds:.0f} s] {text}")

    def write(configuration: Configuration, directory: Path) -> None:
        render.write(context, outcome, configuration.choice, directory)

    def measure(configuration: Configuration, aim: Aim) -> Result:
        return trial.measure(scratch / "trial", configuration, write, demand, aim)

    if journal.resumed:
        say(f"going on with the {journal.resumed} that a run which was broken off has measured")
    bounds = contest.explore(whole, journal, measure, target, memory, budget, say)
    final, failure = None, ""
    try:
        final = contest.decide(
            whole, journal.results, bounds, write, demand, scratch, budget, target is not None, say
        )
    except (ServiceError, SmokeError) as error:
        failure = f"the final failed: {error.message}"
    if final is not None and final.verdict.taken:
        final = final.but(admit.refusal(context, outcome, final.rival.configuration.choice))
    journal.finish()
    found = _concluded(whole, bounds, journal.results, final, failure, folder)
    _keep(context, outcome, found)
    return found


def _concluded(
    whole: Space,
    bounds: Bounds,
    measured: Sequence[Result],
    final: Optional[Final],
    failure: str,
    folder: Path,
) -> Tuning:
    chosen, reason = whole.default, failure
    if final is not None:
        reason = final.verdict.reason
        chosen = final.rival.configuration if final.verdict.taken else chosen
    elif not failure:
        within = any(bounds.best(each) for each in measured)
        reason = "nothing was better in the search" if within else "nothing is within the bounds"
    return Tuning(whole, bounds, measured, chosen, final, reason, folder)


def _keep(context: Context, outcome: Outcome, found: Tuning) -> None:
    durable.write(found.folder / RESULT_FILE, json.dumps(found.to_json(), indent=2))
    durable.write(found.folder / PLOT_FILE, plot.draw(found.space, found.results, found.bounds, found.chosen))
    path = context.home / TUNED_FILE
    if found.final is None or not found.final.verdict.taken:
        path.unlink(missing_ok=True)
        return
    choice = found.chosen.choice
    told = Tuned(
        choice=choice,
        before=choice.replaced(context.spec),
        machine=tuned.machine(),
        models=tuned.digests(context, outcome, choice.variant),
        inputs=tuned.inputs(context, choice),
        figures=_figures(found.final, found.bounds),
    )
    durable.write(path, files.text(told))


def _figures(final: Final, bounds: Bounds) -> dict[str, Any]:
    return {
        "p99_milliseconds_bound": round(bounds.p99, 1),
        "times_the_throughput": round(final.verdict.ratio, 3),
        "p99_milliseconds": round(final.best.p99, 1),
        "clients": final.best.clients,
        "memory_megabytes": round(final.rival.memory),
    }


def _spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """So many of them, evenly spread."""
    step = max(1.0, len(samples) / count)
    return [samples[int(number * step)] for number in range(min(count, len(samples)))]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(str(folder / "lock"), timeout=0):
            yield
    except Timeout as error:
        raise ServiceError(
            "it is being tuned already: two at once would measure each other",
            where=str(folder),
            remedy="wait for the other `make tune` to end",
        ) from error


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A directory for services; what a run that was killed left running there is ended first."""
    trial.end_all(path)
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield path
    finally:
        trial.end_all(path)
        shutil.rmtree(path, ignore_errors=True)
