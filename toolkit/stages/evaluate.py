"""evaluate: every candidate of every model in the engine that serves, and which of them is served."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit import child, cpu
from toolkit.child import Progress
from toolkit.engines import kernels
from toolkit.engines.options import PredictorOptions
from toolkit.errors import GateError, ToolkitError
from toolkit.evaluation import gate
from toolkit.evaluation.gate import Candidate, Judgement
from toolkit.evaluation.metrics import Counts, total
from toolkit.stages import dataset, export, quantize
from toolkit.stages.context import PACKAGE, Context
from toolkit.stages.dataset import DatasetRef
from toolkit.store import digest
from toolkit.store.artifact import Artifact

RESULT_FILE = "evaluation.json"
GOLDEN_FILE = "golden.json"

_CODE = (PACKAGE / "evaluation", Path(__file__))
_LATENCY_SAMPLES, _LATENCY_ROUNDS = 2, 3


@dataclass(frozen=True)
class Variant:
    """One way to run one model: which files, with which options."""

    model: str
    options: PredictorOptions
    source: Artifact

    @property
    def title(self) -> str:
        """As progress shows it."""
        return f"{self.model}/{self.options.label}"


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
    variants = _all_variants(context)
    _measure_all(context, data, [item for group in variants.values() for item in group])
    judged = {name: _judge(context, data, group) for name, group in variants.items()}
    chosen = {name: _choose(context, variants[name], judged[name]) for name in variants}
    artifact = _conclude(context, data, variants, judged, chosen)
    return Outcome(artifact, chosen)


def _all_variants(context: Context) -> dict[str, list[Variant]]:
    """The variants of each model; models are quantized side by side, since PaddleSlim keeps one core busy."""
    with child.parallel(cpu.cores()) as pool:
        return dict(
            zip(context.spec.steps, pool.map(lambda name: variants_of(context, name), context.spec.steps))
        )


def variants_of(context: Context, name: str) -> list[Variant]:
    """The native reference, then the candidates in the order of preference."""
    exported = export.run(context, name)
    reference = Variant(name, options_of(context, name, "native"), exported)
    wanted = [item for item in context.candidates_of(name) if item != "bf16" or cpu.supports_bf16()]
    return [reference] + [
        Variant(
            name, options_of(context, name, item), quantize.run(context, name) if item == "int8" else exported
        )
        for item in wanted
    ]


def options_of(context: Context, name: str, label: str) -> PredictorOptions:
    """The engine settings that `label` stands for; serving takes the same."""
    serving, quantized = context.spec.serving, context.spec.models[name].quantize
    if label == "native":
        return PredictorOptions(threads=serving.threads, cache_capacity=serving.cache_capacity)
    return PredictorOptions(
        label, "onednn", serving.threads, serving.cache_capacity, quantized.kernels if label == "int8" else ()
    )


def _measure_all(context: Context, data: DatasetRef, variants: Sequence[Variant]) -> None:
    """As many at a time as there are cores for; what takes longest first: all that is native."""
    workers = max(1, cpu.cores() // context.spec.serving.threads)
    slowest_first = sorted(variants, key=lambda item: item.options.backend != "native")
    native = {item.model: item for item in variants if item.options.backend == "native"}
    with child.parallel(workers) as pool:
        jobs = [pool.submit(_pipeline, context, data, native)]
        jobs += [pool.submit(_measured, context, data, item) for item in slowest_first]
        for future in as_completed(jobs):
            future.result()


def _measured(context: Context, data: DatasetRef, variant: Variant) -> Artifact:
    """The counts and the kernel proof of one variant. A variant that cannot run is a result, not an error."""
    model = context.spec.models[variant.model]
    return context.artifact(
        "measure",
        variant.title.replace("/", "-"),
        {
            "data": data.digest,
            "pipeline": context.pipeline_code(),
            "step": [model.step, model.options, model.judge, context.spec.judge_options],
            "model": variant.source.key,
            "options": variant.options.to_json(),
            "cpu": sorted(cpu.features()),
            "packages": digest.of_packages(["paddlepaddle", "rapidocr-paddle"]),
        },
        (PACKAGE / "evaluation" / "measure.py", PACKAGE / "evaluation" / "metrics.py"),
        lambda target, progress: _measure(context, data, variant, progress),
    )


def _measure(context: Context, data: DatasetRef, variant: Variant, progress: Progress) -> Mapping[str, Any]:
    model = context.spec.models[variant.model]
    log = context.logs / f"measure-{variant.title.replace('/', '-')}.log"
    try:
        proof = _prove(context, variant, log)
        measured = child.call(
            "toolkit.evaluation.measure:measure_model",
            {
                "pipeline_dir": str(context.spec.directory),
                "data": str(data.directory),
                "model_dir": str(variant.source.path),
                "options": variant.options.to_json(),
                "step": [model.step, dict(model.options)],
                "judge": [model.judge, dict(context.spec.judge_options)],
            },
            log=log,
            progress=progress,
        )
    except ToolkitError as error:
        if variant.options.backend == "native":
            raise
        return {"counts": None, "problem": error.message, "kernels": ""}
    return {**measured, "kernels": proof, "problem": None}


def _prove(context: Context, variant: Variant, log: Path) -> str:
    """What oneDNN reports of one inference, in words; nothing for the reference, which does not use oneDNN."""
    if variant.options.backend == "native":
        return ""
    arguments = {
        "model_dir": str(variant.source.path),
        "options": variant.options.to_json(),
        "shapes": {key: list(shape) for key, shape in context.spec.models[variant.model].inputs.items()},
    }
    proof = child.call("toolkit.engines.kernels:prove", arguments, log=log, env=kernels.VERBOSE_ENVIRONMENT)
    return kernels.describe(proof["primitives"], variant.options.precision)


def _candidate(context: Context, data: DatasetRef, variant: Variant) -> Candidate:
    info = _measured(context, data, variant).info
    counts = tuple(Counts(*item) for item in info["counts"]) if info["counts"] is not None else None
    return Candidate(variant.options.label, counts, info["kernels"], info["problem"])


def _judge(context: Context, data: DatasetRef, variants: Sequence[Variant]) -> list[Judgement]:
    """A judgement for each variant, the reference first."""
    metric, limit = context.spec.models[variants[0].model].metric, context.spec.gate.max_drop
    candidates = [_candidate(context, data, item) for item in variants]
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


def _pipeline(context: Context, data: DatasetRef, chosen: Mapping[str, Variant]) -> Artifact:
    """Whole answers with the given variants, on every validation sample."""
    spec = context.spec
    models = [
        {
            "model_dir": str(chosen[name].source.path),
            "options": chosen[name].options.to_json(),
            "step": [spec.models[name].step, dict(spec.models[name].options)],
        }
        for name in spec.steps
    ]
    arguments = {
        "pipeline_dir": str(spec.directory),
        "data": str(data.directory),
        "models": models,
        "response": spec.response,
        "judge": [spec.judge, dict(spec.judge_options)],
    }
    title = "+".join(chosen[name].options.label for name in spec.steps)
    log = context.logs / f"measure-pipeline-{title}.log"
    keys = [
        [chosen[name].source.key, item["options"], item["step"]] for name, item in zip(spec.steps, models)
    ]
    return context.artifact(
        "measure",
        f"all-{title}",
        {
            "data": data.digest,
            "pipeline": context.pipeline_code(),
            "models": keys,
            "judge": [spec.response, spec.judge, spec.judge_options],
            "cpu": sorted(cpu.features()),
            "packages": digest.of_packages(["paddlepaddle", "rapidocr-paddle"]),
        },
        (PACKAGE / "evaluation" / "measure.py", PACKAGE / "evaluation" / "metrics.py"),
        lambda target, progress: dict(
            child.call("toolkit.evaluation.measure:measure_pipeline", arguments, log=log, progress=progress)
        ),
    )


def _conclude(
    context: Context,
    data: DatasetRef,
    variants: Mapping[str, Sequence[Variant]],
    judged: Mapping[str, Sequence[Judgement]],
    chosen: Mapping[str, Variant],
) -> Artifact:
    """The artifact with the figures of the choice, and the golden answers that verify a service."""
    reference = _pipeline(context, data, {name: group[0] for name, group in variants.items()})
    served = _pipeline(context, data, chosen)
    return context.artifact(
        "evaluate",
        context.spec.name,
        {
            "gate": context.spec.gate.model_dump(),
            "candidates": {
                name: [item.options.to_json() for item in group] for name, group in variants.items()
            },
            "measured": [_measured(context, data, item).key for group in variants.values() for item in group],
            "pipelines": [reference.key, served.key],
            "golden": context.spec.golden,
        },
        _CODE,
        lambda target, progress: _record(
            context, data, variants, judged, chosen, (reference, served), target, progress
        ),
    )


def _record(
    context: Context,
    data: DatasetRef,
    variants: Mapping[str, Sequence[Variant]],
    judged: Mapping[str, Sequence[Judgement]],
    chosen: Mapping[str, Variant],
    pipelines: tuple[Artifact, Artifact],
    target: Path,
    progress: Progress,
) -> Mapping[str, Any]:
    models = {}
    for index, name in enumerate(variants):
        milliseconds = _latencies(context, data, variants[name])
        models[name] = _report(context, variants[name], judged[name], chosen[name], milliseconds)
        progress(index + 1, len(variants))
    before, after = (total(Counts(*item) for item in each.info["counts"]) for each in pipelines)
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
    _write_golden(context, data, pipelines[1].info["answers"], target)
    return result


def _latencies(context: Context, data: DatasetRef, variants: Sequence[Variant]) -> list[float]:
    """Median milliseconds of each variant's inferences for one sample, measured in turn."""
    model = context.spec.models[variants[0].model]
    arguments = {
        "pipeline_dir": str(context.spec.directory),
        "data": str(data.directory),
        "candidates": [
            {"model_dir": str(item.source.path), "options": item.options.to_json()} for item in variants
        ],
        "step": [model.step, dict(model.options)],
        "judge": [model.judge, dict(context.spec.judge_options)],
        "samples": _LATENCY_SAMPLES,
        "rounds": _LATENCY_ROUNDS,
    }
    log = context.logs / f"latency-{variants[0].model}.log"
    return list(child.call("toolkit.evaluation.measure:measure_latency", arguments, log=log)["milliseconds"])


def _report(
    context: Context,
    variants: Sequence[Variant],
    judged: Sequence[Judgement],
    chosen: Variant,
    milliseconds: Sequence[float],
) -> dict[str, Any]:
    rows = [
        {
            **judgement.to_json(),
            "milliseconds": elapsed,
            "ratio": round(milliseconds[0] / elapsed, 2) if elapsed else None,
            "bytes": variant.source.info["bytes"],
        }
        for variant, judgement, elapsed in zip(variants, judged, milliseconds)
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
    folder = target / "golden"
    folder.mkdir()
    entries = []
    for index, sample in enumerate(data.dataset.validation[: context.spec.golden]):
        name = f"{index:02d}{sample.image.suffix}"
        (folder / name).write_bytes(sample.image.read_bytes())
        entries.append({"image": name, "answer": answers[index]})
    (folder / GOLDEN_FILE).write_text(json.dumps(entries, indent=1, ensure_ascii=False), encoding="utf-8")
