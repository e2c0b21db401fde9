"""evaluate: the tournament's proposals in the engine that serves, the verdict on each, and which of them is served."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit import __version__, child, cpu
from toolkit.errors import GateError, InconclusiveError, ToolkitError
from toolkit.evaluation.gate import Policy
from toolkit.quantization.recipe import Recipe
from toolkit.serving.release import GOLDEN_DIR, GOLDEN_FILE
from toolkit.spec import AGREEMENT, PipelineSpec
from toolkit.stages import (
    calibrate,
    dataset,
    diagnose,
    judge,
    levels,
    measure,
    rows,
    search,
    spares,
    variants,
    whole,
)
from toolkit.stages.context import PACKAGE, Context, machine
from toolkit.stages.dataset import DatasetRef
from toolkit.stages.judge import Judged
from toolkit.stages.spares import Spare
from toolkit.stages.variants import Variant
from toolkit.stages.whole import Whole
from toolkit.store.artifact import Artifact

RESULT_FILE = "evaluation.json"

_CODE = (
    PACKAGE / "evaluation",
    PACKAGE / "quantization",
    Path(cpu.__file__),
    Path(__file__),
    *(Path(str(item.__file__)) for item in (judge, whole, levels, spares, rows, diagnose, measure, variants)),
)


@dataclass(frozen=True)
class Outcome:
    """What was decided, and the artifact that records it."""

    context: Context
    artifact: Artifact

    @property
    def result(self) -> Mapping[str, Any]:
        """The content of `evaluation.json`."""
        return self.artifact.info

    @property
    def chosen(self) -> dict[str, Variant]:
        """The variant of each model that is served.

        Raises:
            GateError: the only precision that was allowed did not pass.
            InconclusiveError: it may keep the accuracy, but the samples are too few to tell, and the spec rejects that.
        """
        self.require()
        return {name: self._again(name, entry["serving"]) for name, entry in self.result["models"].items()}

    @property
    def spares(self) -> dict[str, dict[str, Variant]]:
        """The variants of each model in each spare of the release, by its place there."""
        return {
            place: {name: self._again(name, entry) for name, entry in spare["models"].items()}
            for place, spare in self.result["spares"].items()
        }

    def require(self) -> None:
        """Raise what keeps this outcome from being served, if anything does."""
        if self.result["passed"]:
            return
        kind = InconclusiveError if self.result["inconclusive"] else GateError
        raise kind(
            str(self.result["reason"]),
            where=str(self.context.home / "report" / "index.html"),
            remedy="leave PRECISION out to fall back; the report says which layers lose and what to do about it",
        )

    def _again(self, name: str, serving: Mapping[str, Any]) -> Variant:
        return variants.again(self.context, name, serving)


def run(context: Context) -> Outcome:
    """Search, measure and judge; an outcome that may not be served is an outcome too, see `Outcome.require`.

    Raises:
        DataError: the validation samples have no labels.
        SpecError: answers have not what the spec's `agreement` compares.
    """
    data = dataset.run(context)
    searched = searches(context, data)
    natives = {name: variants.native(context, name) for name in context.spec.steps}
    artifact = context.artifact(
        "evaluate",
        context.spec.name,
        {
            "precision": context.precision,
            "engines": context.engines,
            "candidates": {name: list(context.candidates_of(name)) for name in natives},
            "searches": {name: item.key for name, item in searched.items()},
            "plain": {name: variants.plain(context, name, "fp32").source.key for name in natives},
            "natives": {name: item.source.key for name, item in natives.items()},
            "data": data.digest,
            "pipeline": context.pipeline_code(),
            # The service's limits change nothing of what is judged; what a predictor is given does.
            "predictors": [context.spec.serving.threads, context.spec.serving.cache_capacity],
            "spec": context.spec.model_dump(
                mode="json",
                exclude={
                    "models": {"__all__": {"source"}},
                    "serving": True,
                    "canary": True,
                    "watch": True,
                    "targets": True,
                    "data": True,
                    "description": True,
                },
            ),
            **machine(),
        },
        _CODE,
        lambda target, progress: _Evaluation(context, data, searched, natives).run(target),
    )
    return Outcome(context, artifact)


def searches(context: Context, data: DatasetRef) -> dict[str, Artifact]:
    """The searches, one after the other; what one leaves of the budget is the others'."""
    wanted = [name for name in context.spec.steps if "int8" in context.candidates_of(name)]
    _calibrate(context, wanted)
    budget = context.budget if context.budget is not None else context.spec.search.budget_seconds
    ends = time.monotonic() + budget
    found = {}
    for number, name in enumerate(wanted):
        share = max(0.0, ends - time.monotonic()) / (len(wanted) - number)
        found[name] = search.run(context, data, name, share)
    return found


def _calibrate(context: Context, names: Sequence[str]) -> None:
    """What searches begin with, side by side, since each of these takes one core only."""

    def attempt(name: str) -> None:
        # The search of the model meets the problem again, and says what it means.
        with contextlib.suppress(ToolkitError):
            calibrate.run(context, name)

    with child.parallel(measure.workers(context)) as pool:
        list(pool.map(attempt, names))


def policy_of(spec: PipelineSpec) -> Policy:
    """What the spec's `gate` asks of a candidate."""
    gate = spec.gate
    return Policy(
        gate.max_drop, gate.relative, gate.confidence, gate.inconclusive, gate.prefer, gate.int8_share
    )


class _Evaluation:
    """One evaluation at work."""

    def __init__(
        self,
        context: Context,
        data: DatasetRef,
        searches: Mapping[str, Artifact],
        natives: Mapping[str, Variant],
    ) -> None:
        self.context, self.data, self.searches, self.natives = context, data, searches, natives
        self.policy = policy_of(context.spec)

    def run(self, target: Path) -> dict[str, Any]:
        """Judge each model, then the whole; write what verifies the service."""
        started = time.monotonic()
        judged = {name: self._candidates(name) for name in self.natives}
        with child.parallel(measure.workers(self.context)) as pool:
            # The slowest first: the reference of the whole pipeline runs beside the verdicts.
            reference = pool.submit(measure.run_pipeline, self.context, self.data, self.natives)
            for item in judged.values():
                item.measure(pool)
            for item in judged.values():
                item.decide()
            native = reference.result()
            # What one goes back to is measured in any case that matters, so beside what is served.
            fp32 = pool.submit(spares.of_fp32, self.context, self.data, self.policy, judged, native)
            together = whole.settle(self.context, self.data, self.policy, judged, native)
            passed = not together.hypothetical
            fp32.result()
            kept = levels.keep(judged, pool) if passed else {}
            diagnoses = pool.map(lambda item: diagnose.run(self.context, self.data, item), judged.values())
            answers = together.answers.info["answers"]
            found: Mapping[str, Spare] = {}
            if passed:
                found = spares.find(self.context, self.data, judged, kept, native, answers, fp32, pool)
            result = self._result(judged, kept, dict(zip(judged, diagnoses)), together, passed)
        result["spares"] = {place: item.to_json() for place, item in found.items()}
        result["seconds"] = {"verdict": round(time.monotonic() - started, 1)}
        result["gallery"] = diagnose.gallery(native.info, together.answers.info)
        (target / RESULT_FILE).write_text(json.dumps(result, indent=1, ensure_ascii=False), encoding="utf-8")
        if passed:
            self._write_golden(answers, target)
        for place, spare in found.items():
            self._write_golden(spare.answers, target / place)
        return result

    def _candidates(self, name: str) -> Judged:
        """The reference and the candidates of a model, with their times, which are measured while nothing else runs."""
        context, searched = self.context, self.searches.get(name)
        floats = variants.floats(context, name)
        proposals = [variants.int8(context, name, item) for item in self._proposals(name)]
        everything = [self.natives[name], *floats, *variants.in_all_engines(context, proposals)]
        figures = measure.latencies(context, self.data, everything)
        return Judged(
            context,
            self.data,
            self.policy,
            everything,
            dict(zip(everything, figures)),
            searched.info if searched else None,
        )

    def _proposals(self, name: str) -> list[Recipe]:
        """INT8 that lost too much in the search is judged only where nothing else is allowed."""
        searched = self.searches.get(name)
        if searched is None:
            return []
        found = search.finalists(searched.info)
        if self.context.forced(name):
            return found
        return [item for item in found if search.is_promising(searched.info, item)]

    def _result(
        self,
        judged: Mapping[str, Judged],
        kept: Mapping[str, Any],
        diagnoses: Mapping[str, Any],
        together: Whole,
        passed: bool,
    ) -> dict[str, Any]:
        failed = [item for item in judged.values() if item.failure]
        reasons = [item.failure for item in failed] or [together.failure]
        return {
            "pipeline": self.context.spec.name,
            "version": __version__,
            "passed": passed,
            "inconclusive": all(item.inconclusive for item in failed) if failed else together.inconclusive,
            "reason": reasons[0],
            "data": self._data(),
            "gate": self.policy.to_json(),
            "models": {
                name: {
                    **rows.entry(item, passed),
                    "levels": kept.get(name, {}),
                    **diagnoses[name],
                }
                for name, item in judged.items()
            },
            "end_to_end": together.to_json(),
            "environment": {
                "cpu": cpu.model(),
                "features": machine()["cpu"],
                "packages": {**machine()["packages"], **self._engines(judged)},
                "level": cpu.level(),
                "threads": self.context.spec.serving.threads,
                "keys": {name: item.shown.source.key for name, item in judged.items()},
            },
        }

    def _engines(self, judged: Mapping[str, Judged]) -> dict[str, str]:
        """Versions of the engines beside Paddle that candidates ran in."""
        tried = {variant.engine for item in judged.values() for variant in item.everything}
        return {name: version for name, version in self.context.engines.items() if name in tried - {"paddle"}}

    def _data(self) -> dict[str, Any]:
        data = self.data.dataset
        return {
            "directory": str(data.directory),
            "digest": self.data.digest,
            "splits": {
                "calibration": len(data.calibration),
                "search": len(data.search),
                "verdict": len(data.validation),
            },
            "warnings": [*self._without_data(), *data.warnings, *self._warnings()],
            "limits": self._limits(),
        }

    def _without_data(self) -> list[str]:
        return [] if self.context.calibrates else [f"{dataset.WITHOUT_DATA}; {dataset.GIVE_DATA}"]

    def _limits(self) -> list[str]:
        """What no figure of this evaluation can say."""
        spec = self.context.spec
        random = [name for name in spec.steps if spec.models[name].source.has_random_weights]
        found = [
            f"{name} has random weights: its answers mean nothing, only speed and size do" for name in random
        ]
        if spec.judge == AGREEMENT:
            found.append(
                "accuracy was not judged: without labels, the figures say how far answers are those of native FP32, "
                "not how good they are"
            )
        return found

    def _warnings(self) -> list[str]:
        """What calibration noticed of its data, where it came that far."""
        calibrated = [name for name, item in self.searches.items() if not item.info.get("problem")]
        calibrations = {name: calibrate.run(self.context, name) for name in calibrated}
        return [f"{name}: {text}" for name, item in calibrations.items() for text in item.info["warnings"]]

    def _write_golden(self, answers: Sequence[Any], target: Path) -> None:
        """The first validation samples with the answers that the variants gave, for the service that runs them."""
        folder = target / GOLDEN_DIR
        folder.mkdir(parents=True)
        entries = []
        for index, sample in enumerate(self.data.dataset.validation[: self.context.spec.golden]):
            name = f"{index:02d}{sample.file.suffix}"
            (folder / name).write_bytes(sample.file.read_bytes())
            entries.append({"image": name, "answer": answers[index]})
        (folder / GOLDEN_FILE).write_text(json.dumps(entries, indent=1, ensure_ascii=False), encoding="utf-8")
