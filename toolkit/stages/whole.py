"""The verdict on whole answers, from image to text, and which model steps back where they lose too much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from toolkit.evaluation import gate
from toolkit.evaluation.gate import Candidate, Policy, Verdict
from toolkit.evaluation.metrics import Counts
from toolkit.evaluation.ratios import METRICS
from toolkit.stages import measure, rows
from toolkit.stages.context import Context
from toolkit.stages.dataset import DatasetRef
from toolkit.stages.judge import Judged
from toolkit.store.artifact import Artifact


@dataclass(frozen=True)
class Whole:
    """Whole answers, judged.

    Attributes:
        answers: those of the variants that are served; where nothing is, of those that came furthest.
        lines: labelled results.
        failure: why nothing may be served though every model may; the models have their own.
        inconclusive: whether that is for want of samples, and the policy asks for proof.
        hypothetical: nothing is served, so this is what would have been.
    """

    metric: str
    answers: Artifact
    verdict: Verdict
    lines: int
    failure: Optional[str] = None
    inconclusive: bool = False
    hypothetical: bool = False

    def to_json(self) -> dict[str, Any]:
        """As the evaluation records it."""
        difference = self.verdict.difference
        return {
            "metric": self.metric,
            "lines": self.lines,
            "native": difference.reference if difference else None,
            "served": difference.candidate if difference else None,
            "verdict": rows.described(self.verdict),
            "hypothetical": self.hypothetical,
        }


def settle(
    context: Context, data: DatasetRef, policy: Policy, judged: Mapping[str, Judged], reference: Artifact
) -> Whole:
    """Judge whole answers. Until they may be served, the model that loses most takes its next candidate.

    Native FP32 remains in the end, and is served whatever the samples prove. A model that may be served in one
    precision only takes no other: where such are all that is left, nothing is served.

    Args:
        reference: whole answers of native FP32.
    """
    failed = any(item.failure for item in judged.values())
    while True:
        found = _look(context, data, policy, judged, reference, failed)
        decision = gate.decide(found.verdict, policy)
        changed = [item for item in judged.values() if item.chosen is not item.native]
        if failed or decision == "serve" or not changed:
            return found
        free = [item for item in changed if not item.forced]
        if not free:
            return _refused(found, context, policy)
        max(free, key=lambda item: item.drop).step_back(decision)


def _look(
    context: Context,
    data: DatasetRef,
    policy: Policy,
    judged: Mapping[str, Judged],
    reference: Artifact,
    hypothetical: bool,
) -> Whole:
    answers = measure.run_pipeline(context, data, {name: item.shown for name, item in judged.items()})
    before, after = (measure.counts_of(item) or [] for item in (reference, answers))
    metric = context.spec.metric
    lines = sum(item.truth for item in before)
    return Whole(metric, answers, _verdict(before, after, metric, policy), lines, hypothetical=hypothetical)


def _verdict(before: Sequence[Counts], after: Sequence[Counts], metric: str, policy: Policy) -> Verdict:
    """What precision the models run in does not matter here."""
    return gate.judge(before, Candidate("served", "pipeline", after), METRICS[metric], policy)


def _refused(found: Whole, context: Context, policy: Policy) -> Whole:
    undecided = found.verdict.status == "inconclusive" and policy.inconclusive != "accept"
    failure = f"{context.precision} was asked for, but with it the whole {found.verdict.reason}"
    return Whole(found.metric, found.answers, found.verdict, found.lines, failure, undecided, True)
