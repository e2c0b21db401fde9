"""Measuring variants in child processes: on their own, as a whole pipeline, and their time.

Every measurement is an artifact of its own, so an interrupted evaluation goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

from toolkit import child, cpu
from toolkit.child import Progress
from toolkit.engines import kernels
from toolkit.errors import ChildError, ToolkitError
from toolkit.stages.context import PACKAGE, Context, machine
from toolkit.stages.dataset import DatasetRef
from toolkit.stages.variants import Variant
from toolkit.store.artifact import Artifact

_CODE = (PACKAGE / "evaluation" / "measure.py", PACKAGE / "evaluation" / "metrics.py")
_LATENCY_SAMPLES, _LATENCY_ROUNDS = 2, 3


def run_all(context: Context, data: DatasetRef, variants: Sequence[Variant]) -> None:
    """As many at a time as there are cores for; what takes longest first: all that is native."""
    workers = max(1, cpu.cores() // context.spec.serving.threads)
    slowest_first = sorted(
        (item for item in variants if not item.problem), key=lambda item: item.options.backend != "native"
    )
    native = {item.model: item for item in variants if item.options.backend == "native"}
    with child.parallel(workers) as pool:
        jobs = [pool.submit(run_pipeline, context, data, native)]
        jobs += [pool.submit(run_model, context, data, item) for item in slowest_first]
        for future in as_completed(jobs):
            future.result()


def run_model(context: Context, data: DatasetRef, variant: Variant) -> Artifact:
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
            **machine(),
        },
        _CODE,
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
        if variant.options.backend == "native" or (
            isinstance(error, ChildError) and error.ended_from_outside
        ):
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


def run_pipeline(context: Context, data: DatasetRef, chosen: Mapping[str, Variant]) -> Artifact:
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
            **machine(),
        },
        _CODE,
        lambda target, progress: dict(
            child.call("toolkit.evaluation.measure:measure_pipeline", arguments, log=log, progress=progress)
        ),
    )


def latencies(context: Context, data: DatasetRef, variants: Sequence[Variant]) -> list[float]:
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
