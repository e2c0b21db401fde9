"""What `make tune` chose, applied to the release that this machine serves; a release of a version never has it."""

from __future__ import annotations

from collections.abc import Mapping

from toolkit import cpu
from toolkit.serving.release import FP32
from toolkit.spec import tuned
from toolkit.spec.tuned import TUNED_FILE, Choice, Machine, Variant
from toolkit.stages import convert, render
from toolkit.stages.context import Context
from toolkit.stages.evaluate import Outcome
from toolkit.store import digest
from toolkit.store.artifact import Artifact


def run(context: Context, outcome: Outcome) -> Artifact:
    """The release as `render` makes it, with what was tuned on this machine where that still holds.

    Raises:
        SpecError: the file with what was tuned cannot be read.
    """
    return render.run(context, outcome, choice(context, outcome))


def choice(context: Context, outcome: Outcome) -> Choice:
    """What was tuned; nothing where nothing was, or where it does not hold any more, which is told."""
    path = context.home / TUNED_FILE
    found = tuned.read(path)
    if found is None:
        return Choice()
    variants = passed(outcome)
    models = digests(context, outcome, found.choice.variant) if found.choice.variant in variants else {}
    problem = found.stale(context.spec, machine(), models, inputs(context, found.choice))
    if problem is not None:
        context.console.say(f"  tuning     {path} is ignored: {problem}; `make tune` measures anew")
        return Choice()
    told = ": its FP32 variant is served, not what the table marks" if found.choice.variant == FP32 else ""
    context.console.say(f"  tuning     as `make tune` chose, see {path}{told}")
    return found.choice


def machine() -> Machine:
    """What is measured here, is measured on this."""
    return Machine(cpu=cpu.model(), level=cpu.level(), cores=cpu.cores())


def passed(outcome: Outcome) -> tuple[Variant, ...]:
    """The variants of the release that the evaluation records as passed by the gate; the release itself comes first.

    Models and whole answers both have to be. What the spec accepts although the samples decide nothing may be the
    release, as the spec says so, and nothing else. Who asks for one precision gets no other.
    """
    outcome.require()
    if outcome.context.precision not in (None, FP32):
        return ("release",)
    spare = outcome.result["spares"].get(FP32)
    return ("release", "fp32") if spare is not None and _all_pass(spare) else ("release",)


def _all_pass(spare: Mapping[str, Mapping[str, Mapping[str, str]]]) -> bool:
    # Native FP32, the reference, has no verdict of its own.
    verdicts = {entry["outcome"] for entry in spare["models"].values() if entry["precision"] != "native"}
    return (verdicts | {(spare["end_to_end"] or {}).get("outcome", "")}) <= {"pass"}


def inputs(context: Context, choice: Choice) -> str:
    """What tells the pipeline that was measured from another: code, and options but for those that were chosen."""
    spec = context.spec
    fixed = {
        name: {key: value for key, value in model.options.items() if key not in choice.options.get(name, {})}
        for name, model in spec.models.items()
    }
    return digest.of_value([context.pipeline_code(), dict(spec.request_options), fixed])


def digests(context: Context, outcome: Outcome, variant: Variant) -> dict[str, str]:
    """What tells the models of a variant of the release from others."""
    models = outcome.spares[FP32] if variant == "fp32" else outcome.chosen
    return {name: convert.run(context, item).key for name, item in models.items()}
