"""evaluate: every candidate of every model in the engine that serves, and which of them is served."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.child import Progress
from toolkit.errors import GateError
from toolkit.evaluation import gate
from toolkit.evaluation.gate import Candidate, Judgement
from toolkit.evaluation.metrics import Counts, total
from toolkit.serving.release import GOLDEN_DIR, GOLDEN_FILE
from toolkit.stages import dataset, measure
from toolkit.stages.context import PACKAGE, Context
from toolkit.stages.dataset import DatasetRef
from toolkit.stages.variants import Variant, all_variants
from toolkit.store.artifact import Artifact

RESULT_FILE = "evaluation.json"

_CODE = (PACKAGE / "evaluation", Path(__file__))


@dataclass(frozen=True)
class Outcome:
    """What was decided, and the artifact that records it."""

    artifact: Artifact
    chosen: Mapping[str, Variant]

    @property
    def result(self) -> Mapping[str, Any]:
        """The content of `evaluation.json`."""
        return self.artifact.info


def run(context: Context) -> Outcome:
    """Measure all candidates, choose one for each model, and measure the whole with those.

    Raises:
        GateError: the only precision that was allowed did not pass.
    """
    data = dataset.run(context)
    variants = all_variants(context)
    measure.run_all(context, data, [item for group in variants.values() for item in group])
    judged = {name: _judge(context, data, group) for name, group in variants.items()}
    chosen = {name: _choose(context, variants[name], judged[name]) for name in variants}
    artifact = _conclude(context, data, variants, judged, chosen)
    return Outcome(artifact, chosen)


def candidate(context: Context, data: DatasetRef, variant: Variant) -> Candidate:
    """One variant as it was measured."""
    if variant.problem:
        return Candidate(variant.options.label, None, problem=variant.problem)
    info = measure.run_model(context, data, variant).info
    counts = tuple(Counts(*item) for item in info["counts"]) if info["counts"] is not None else None
    return Candidate(variant.options.label, counts, info["kernels"], info["problem"])


def _judge(context: Context, data: DatasetRef, variants: Sequence[Variant]) -> list[Judgement]:
    """A judgement for each variant, the reference first."""
    metric, limit = context.spec.models[variants[0].model].metric, context.spec.gate.max_drop
    candidates = [candidate(context, data, item) for item in variants]
    return [gate.judge(candidates[0], item, metric, limit) for item in candidates]


def _choose(context: Context, variants: Sequence[Variant], judged: Sequence[Judgement]) -> Variant:
    """The first candidate that passed, else the native reference, unless one precision was forced."""
    best = gate.choose(judged[1:])
    if best is not None:
        return next(item for item in variants[1:] if item.options.label == best.label)
    if context.precision in ("int8", "bf16"):
        raise _forced_failed(context, variants[0].model, judged)
    return variants[0]


def _forced_failed(context: Context, model: str, judged: Sequence[Judgement]) -> GateError:
    if len(judged) < 2:
        return GateError(
            f"{model}: {context.precision} was asked for, which this CPU has no instructions for",
            remedy="leave PRECISION out, and the best that this CPU has is taken",
        )
    return GateError(
        f"{model}: {context.precision} was asked for, but it {judged[1].reason}",
        where=context.spec.models[model].metric,
        remedy="leave PRECISION out to fall back, change `quantize:` of the model, or give better calibration data",
    )


def whole(context: Context, data: DatasetRef, chosen: Mapping[str, Variant]) -> Counts:
    """Lines that the whole pipeline reads with the given variants."""
    return total(Counts(*item) for item in measure.run_pipeline(context, data, chosen).info["counts"])


def _conclude(
    context: Context,
    data: DatasetRef,
    variants: Mapping[str, Sequence[Variant]],
    judged: Mapping[str, Sequence[Judgement]],
    chosen: Mapping[str, Variant],
) -> Artifact:
    """The artifact with the figures of the choice, and the golden answers that verify a service."""
    reference = measure.run_pipeline(context, data, {name: group[0] for name, group in variants.items()})
    served = measure.run_pipeline(context, data, chosen)
    return context.artifact(
        "evaluate",
        context.spec.name,
        {
            "gate": context.spec.gate.model_dump(),
            "candidates": {
                name: [item.options.to_json() for item in group] for name, group in variants.items()
            },
            "metrics": {name: context.spec.models[name].metric for name in variants},
            "problems": [item.problem for group in variants.values() for item in group],
            "measured": [
                measure.run_model(context, data, item).key
                for group in variants.values()
                for item in group
                if not item.problem
            ],
            "pipelines": [reference.key, served.key],
            "golden": context.spec.golden,
        },
        _CODE,
        lambda target, progress: _record(context, data, variants, judged, chosen, target, progress),
    )


def _record(
    context: Context,
    data: DatasetRef,
    variants: Mapping[str, Sequence[Variant]],
    judged: Mapping[str, Sequence[Judgement]],
    chosen: Mapping[str, Variant],
    target: Path,
    progress: Progress,
) -> Mapping[str, Any]:
    models = {}
    for index, name in enumerate(variants):
        ran = [item for item, judgement in zip(variants[name], judged[name]) if judgement.metric is not None]
        milliseconds = dict(zip(ran, measure.latencies(context, data, ran)))
        models[name] = _report(context, variants[name], judged[name], chosen[name], milliseconds)
        progress(index + 1, len(variants))
    native = {name: group[0] for name, group in variants.items()}
    before, after = whole(context, data, native), whole(context, data, chosen)
    result = {
        "pipeline": context.spec.name,
        "data": {
            "directory": str(data.directory),
            "digest": data.digest,
            "samples": len(data.dataset.validation),
        },
        "models": models,
        "end_to_end": {"lines": after.truth, "native": before.recall, "served": after.recall},
        "max_drop": context.spec.gate.max_drop,
    }
    (target / RESULT_FILE).write_text(json.dumps(result, indent=2), encoding="utf-8")
    _write_golden(context, data, measure.run_pipeline(context, data, chosen).info["answers"], target)
    return result


def _report(
    context: Context,
    variants: Sequence[Variant],
    judged: Sequence[Judgement],
    chosen: Variant,
    milliseconds: Mapping[Variant, float],
) -> dict[str, Any]:
    reference = milliseconds[variants[0]]
    rows = [
        {
            **judgement.to_json(),
            "milliseconds": milliseconds.get(variant),
            "ratio": round(reference / milliseconds[variant], 2) if variant in milliseconds else None,
            "bytes": variant.source.info["bytes"],
        }
        for variant, judgement in zip(variants, judged)
    ]
    return {
        "metric": context.spec.models[chosen.model].metric,
        "chosen": chosen.options.label,
        "options": chosen.options.to_json(),
        "options_digest": chosen.options.digest,
        "candidates": rows,
    }


def _write_golden(context: Context, data: DatasetRef, answers: Sequence[Any], target: Path) -> None:
    """The first validation images with the answers that the served variants gave, for the running service."""
    folder = target / GOLDEN_DIR
    folder.mkdir()
    entries = []
    for index, sample in enumerate(data.dataset.validation[: context.spec.golden]):
        name = f"{index:02d}{sample.image.suffix}"
        (folder / name).write_bytes(sample.image.read_bytes())
        entries.append({"image": name, "answer": answers[index]})
    (folder / GOLDEN_FILE).write_text(json.dumps(entries, indent=1, ensure_ascii=False), encoding="utf-8")
