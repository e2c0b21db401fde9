"""admit: whole answers with tuned options, judged as the evaluation judges those of the spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Optional

from toolkit.errors import ToolkitError
from toolkit.evaluation import gate
from toolkit.serving.release import FP32
from toolkit.spec import PipelineSpec
from toolkit.spec.tuned import Choice
from toolkit.stages import dataset, evaluate, measure, variants, whole
from toolkit.stages.context import Context
from toolkit.stages.evaluate import Outcome


def refusal(context: Context, outcome: Outcome, choice: Choice) -> Optional[str]:
    """Why what was chosen may not be served, by its whole answers on the validation split; None: it may.

    The reference is native FP32 as the spec has it, whose answers the evaluation recorded. Where neither options of
    models nor threads are others than there, the evaluation has judged these answers already.
    """
    tuned = replace(context, spec=choice.applied(context.spec))
    if _what_answers(tuned.spec) == _what_answers(context.spec):
        return None
    models = outcome.spares[FP32] if choice.variant == "fp32" else outcome.chosen
    threads = tuned.spec.serving.threads
    chosen = {
        name: replace(item, options=replace(item.options, threads=threads)) for name, item in models.items()
    }
    data, policy = dataset.run(context), evaluate.policy_of(context.spec)
    natives = {name: variants.native(context, name) for name in context.spec.steps}
    reference = measure.run_pipeline(context, data, natives)
    try:
        answers = measure.run_pipeline(tuned, data, chosen, against=context)
    except ToolkitError as error:
        return f"its whole answers cannot be measured: {error.message}"
    verdict = whole.verdict_on(answers, reference, context.spec.metric, policy)
    if gate.decide(verdict, policy) == "serve":
        return None
    return f"with its options the whole {verdict.reason}"


def _what_answers(spec: PipelineSpec) -> tuple[int, Mapping[str, Any]]:
    """What may change an answer, of all that is tuned."""
    return spec.serving.threads, {name: dict(spec.models[name].options) for name in spec.steps}
