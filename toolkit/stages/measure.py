"""Measuring variants in child processes: on their own, as a whole pipeline, their kernels, and their time.

Every measurement is an artifact of its own, so the store is the journal of the tournament: what was interrupted goes
on where it was, and nothing is measured twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from toolkit import child, cpu
from toolkit.child import Progress
from toolkit.data.dataset import VALIDATION
from toolkit.engines import kernels
from toolkit.errors import ChildError, ModelError, ToolkitError
from toolkit.evaluation.judges import REFERENCE
from toolkit.evaluation.metrics import Counts
from toolkit.spec import AGREEMENT
from toolkit.stages import variants
from toolkit.stages.context import PACKAGE, Context, machine
from toolkit.stages.dataset import DatasetRef
from toolkit.stages.variants import Variant
from toolkit.store.artifact import Artifact

_CODE = tuple(PACKAGE / "evaluation" / f"{name}.py" for name in ("measure", "metrics", "judges", "agreement"))
_LATENCY = {"samples": 2, "feeds": 4, "rounds": 5}
# At a lesser level only INT8 and FP32 are compared, which are far apart; and there are several levels.
_LATENCY_AT_LEVEL = {"samples": 1, "feeds": 4, "rounds": 3}
_TOGETHER = 5  # candidates timed in one process, beside the reference: what their memory allows

Named = tuple[str, Mapping[str, Any]]  # reference, options

# Of a variant that was not timed.
NO_FIGURES: Mapping[str, Any] = dict.fromkeys(("milliseconds", "p99", "ratio", "spread", "cosine"))


def workers(context: Context) -> int:
    """Measurements that may run side by side without slowing each other down."""
    return max(1, cpu.cores() // context.spec.serving.threads)


def run_model(
    context: Context,
    data: DatasetRef,
    variant: Variant,
    split: str,
    part: Optional[range] = None,
    level: Optional[str] = None,
    against: Optional[Context] = None,
) -> Artifact:
    """The counts of one variant on samples of a split. A variant that cannot run is a result, not an error.

    Args:
        part: indices of the samples; None: all of the split.
        level: instruction sets to run with, those of `toolkit.cpu.LEVELS`; None: all that the processor has.
        against: whose native FP32 is the reference where the judge needs one; None: that of `context`.
    """
    part = part if part is not None else range(len(data.dataset.split(split)))
    reference = _reference(context, data, variant, split, against)
    return context.artifact(
        "measure",
        f"{variant.name}-{level or split}",
        {
            "data": data.digest,
            "samples": [split, part.start, part.stop, part.step],
            "pipeline": context.pipeline_code(),
            "reference": reference.key if reference else None,
            **_ingredients(context, variant),
            **_machine_at(level),
        },
        _CODE,
        lambda target, progress: _measure(context, data, variant, split, part, level, reference, progress),
    )


def _reference(
    context: Context, data: DatasetRef, variant: Variant, split: str, against: Optional[Context]
) -> Optional[Artifact]:
    """Native FP32's answers to the split, where those are what `variant` is judged by."""
    is_reference = variant.options.backend == "native" and against is None
    if context.spec.models[variant.model].judge != AGREEMENT or is_reference:
        return None
    of = against or context
    return run_model(of, data, variants.native(of, variant.model), split)


def _by_reference(judge: Named, reference: Optional[Artifact]) -> Named:
    """The judge, told what native FP32 answered, if there is something to tell."""
    if reference is None:
        return judge
    answers = dict(zip(reference.info["names"], reference.info["answers"]))
    return judge[0], {**judge[1], REFERENCE: answers}


def _measure(
    context: Context,
    data: DatasetRef,
    variant: Variant,
    split: str,
    part: range,
    level: Optional[str],
    reference: Optional[Artifact],
    progress: Progress,
) -> Mapping[str, Any]:
    step = context.step_of(variant.model)
    arguments = {
        "data": str(data.directory),
        "split": split,
        "part": [part.start, part.stop, part.step],
        "model_dir": str(variant.source.path),
        "options": variant.options.to_json(),
        **step,
        "judge": _by_reference(step["judge"], reference),
    }
    return _or_problem(
        context, variant, "toolkit.evaluation.measure:measure_model", arguments, _at(level), progress
    )


def prove(context: Context, variant: Variant, level: Optional[str] = None) -> Artifact:
    """The kernel proof of one variant, with the probe shapes of the spec; its problem, if it does not run.

    Nothing for the reference, which does not use oneDNN.
    """
    shapes = _shapes(context, variant.model)
    arguments = {
        "model_dir": str(variant.source.path),
        "options": variant.options.to_json(),
        "shapes": shapes,
    }
    return context.artifact(
        "prove",
        f"{variant.name}{f'-{level}' if level else ''}",
        {"shapes": shapes, **_ingredients(context, variant), **_machine_at(level)},
        (Path(__file__), Path(cpu.__file__)),
        lambda target, progress: _or_problem(
            context,
            variant,
            "toolkit.engines.kernels:prove",
            arguments,
            {**kernels.VERBOSE_ENVIRONMENT, **_at(level)},
            progress,
        ),
    )


def runs_alike(context: Context, variant: Variant, level: str) -> bool:
    """Whether a variant runs at a lesser level as at the machine's own; see `toolkit.engines.kernels.prove`.

    Then its measurements and times hold there, too. Of what runs in OpenVINO that is not known: False.
    """
    here, there = (prove(context, variant, at).info for at in (None, level))
    return "answer" in here and all(here[part] == there.get(part) for part in ("kernels", "answer"))


def counts_of(measured: Artifact) -> Optional[list[Counts]]:
    """The counts by sample; None: the variant did not run."""
    counts = measured.info.get("counts")
    return None if counts is None else [Counts(*item) for item in counts]


def problem_of(measured: Artifact) -> Optional[str]:
    """Why a variant has no measurement or proof, in one line; None: it has."""
    problem = measured.info.get("problem")
    if not problem:
        return None
    # What a dead child wrote last is in its log.
    reason = str(problem).partition("\n")[0].removesuffix("; its last lines:")
    return f"{'crashed' if measured.info.get('crashed') else 'did not run'}: {reason}"


def _or_problem(
    context: Context,
    variant: Variant,
    function: str,
    arguments: Mapping[str, Any],
    environment: Mapping[str, str],
    progress: Progress,
) -> Mapping[str, Any]:
    log = context.logs / f"measure-{variant.name}.log"
    try:
        result = child.call(function, arguments, log=log, progress=progress, env=environment)
    except ToolkitError as error:
        from_outside = isinstance(error, ChildError) and error.ended_from_outside
        if variant.options.backend == "native" or from_outside:
            raise
        return {"problem": error.message, "crashed": isinstance(error, ChildError)}
    return {**result, "problem": None}


def run_pipeline(
    context: Context,
    data: DatasetRef,
    chosen: Mapping[str, Variant],
    part: Optional[range] = None,
    level: Optional[str] = None,
    against: Optional[Context] = None,
) -> Artifact:
    """Whole answers with the given variants, on validation samples.

    Args:
        part: indices of the samples; None: all.
        level, against: as `run_model` has them.
    """
    spec, judge = context.spec, context.spec.judge_of()
    part = part if part is not None else range(len(data.dataset.validation))
    if len(spec.steps) == 1 and spec.judge == spec.models[spec.steps[0]].judge == AGREEMENT:
        measured = run_model(context, data, chosen[spec.steps[0]], VALIDATION, part, level, against)
        return _whole_of(measured, data, part)
    reference = _reference_of_pipeline(context, data, chosen, against)
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
        "part": [part.start, part.stop, part.step],
        "models": models,
        "response": spec.response,
        "judge": _by_reference(judge, reference),
    }
    title = "+".join(chosen[name].kind for name in spec.steps) + (f"-{level}" if level else "")
    log = context.logs / f"measure-pipeline-{title}.log"
    keys = [
        [chosen[name].source.key, item["options"], item["step"]] for name, item in zip(spec.steps, models)
    ]
    return context.artifact(
        "measure",
        f"all-{title}",
        {
            "data": data.digest,
            "samples": [VALIDATION, part.start, part.stop, part.step],
            "pipeline": context.pipeline_code(),
            "models": keys,
            "judge": [spec.response, *judge],
            "reference": reference.key if reference else None,
            **_engine(context, chosen.values()),
            **_machine_at(level),
        },
        _CODE,
        lambda target, progress: dict(
            child.call(
                "toolkit.evaluation.measure:measure_pipeline",
                arguments,
                log=log,
                progress=progress,
                env=_at(level),
            )
        ),
    )


def _whole_of(measured: Artifact, data: DatasetRef, part: range) -> Artifact:
    """The measurement of a model whose answers are whole answers, so that nothing is measured twice."""
    problem = problem_of(measured)
    if problem is not None:
        raise ModelError(f"a model that was to give whole answers {problem}", where=str(measured.path))
    images = [str(data.dataset.validation[index].file) for index in part]
    return Artifact(measured.path, measured.key, {**measured.info, "images": images})


def _reference_of_pipeline(
    context: Context, data: DatasetRef, chosen: Mapping[str, Variant], against: Optional[Context]
) -> Optional[Artifact]:
    """Native FP32's whole answers, where those are what the pipeline is judged by."""
    steps = context.spec.steps
    native = all(chosen[name].options.backend == "native" for name in steps)
    if context.spec.judge != AGREEMENT or (native and against is None):
        return None
    of = against or context
    return run_pipeline(of, data, {name: variants.native(of, name) for name in steps})


def latencies(
    context: Context, data: DatasetRef, variants: Sequence[Variant], level: Optional[str] = None
) -> list[Mapping[str, Any]]:
    """Figures of `toolkit.evaluation.latency` for each variant, against the first, which is the reference.

    Only what has proven to run is timed; the others have `NO_FIGURES`. To be called while nothing else runs.
    """
    native, *others = variants
    running = [item for item in others if problem_of(prove(context, item, level)) is None]
    figures: dict[Variant, Mapping[str, Any]] = {}
    for begin in range(0, max(1, len(running)), _TOGETHER):
        found = _timed(context, data, native, running[begin : begin + _TOGETHER], level)
        figures = {**found, **figures}
    return [figures.get(item, NO_FIGURES) for item in variants]


def _timed(
    context: Context, data: DatasetRef, native: Variant, others: Sequence[Variant], level: Optional[str]
) -> dict[Variant, Mapping[str, Any]]:
    """Figures of `native` and `others` in one process; if that dies, of each of them alone with `native`."""
    try:
        figures = _time(context, data, [native, *others], level)
    except ToolkitError as error:
        if len(others) > 1:
            alone = [_timed(context, data, native, [item], level) for item in others]
            return {item: found for entry in alone for item, found in entry.items()}
        if not others or (isinstance(error, ChildError) and error.ended_from_outside):
            raise
        return _timed(context, data, native, [], level)
    return dict(zip([native, *others], figures))


def _time(
    context: Context, data: DatasetRef, variants: Sequence[Variant], level: Optional[str]
) -> list[Mapping[str, Any]]:
    model = variants[0].model
    arguments = {
        "data": str(data.directory),
        "candidates": [
            {"model_dir": str(item.source.path), "options": item.options.to_json()} for item in variants
        ],
        "shapes": _shapes(context, model),
        **(_LATENCY_AT_LEVEL if level else _LATENCY),
        **context.step_of(model),
    }
    log = context.logs / f"latency-{model}.log"
    with context.console.working("latency", f"{model}{f'-{level}' if level else ''}") as progress:
        result = child.call(
            "toolkit.evaluation.latency:measure", arguments, log=log, progress=progress, env=_at(level)
        )
    return list(result["figures"])


def _shapes(context: Context, name: str) -> dict[str, list[int]]:
    return {key: list(shape) for key, shape in context.spec.models[name].inputs.items()}


def _ingredients(context: Context, variant: Variant) -> dict[str, Any]:
    step = context.step_of(variant.model)
    return {
        "step": [step["step"], step["judge"]],
        "model": variant.source.key,
        "options": variant.options.to_json(),
        **_engine(context, [variant]),
    }


def _engine(context: Context, found: Iterable[Variant]) -> dict[str, str]:
    """The version of OpenVINO where it runs any of these; Paddle's is a part of the machine's packages."""
    if any(item.engine == "openvino" for item in found):
        return {"openvino": context.engines["openvino"]}
    return {}


def _at(level: Optional[str]) -> dict[str, str]:
    return cpu.environment_at(level) if level else {}


def _machine_at(level: Optional[str]) -> dict[str, Any]:
    return {**machine(), **({"isa": level} if level else {})}
