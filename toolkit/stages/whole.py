"""The verdict on whole answers, from request to answer, and which model steps back where they lose too much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional

from toolkit.errors import SpecError
from toolkit.evaluation import agreement, gate, labelled
from toolkit.evaluation.agreement import Difference, Rule
from toolkit.evaluation.gate import Candidate, Policy, Verdict
from toolkit.evaluation.ratios import METRICS
from toolkit.spec import AGREEMENT
from toolkit.stages import measure, rows
from toolkit.stages.context import Context
from toolkit.stages.dataset import DatasetRef
from toolkit.stages.judge import Judged
from toolkit.store.artifact import Artifact

LABELS = "labels"


@dataclass(frozen=True)
class Whole:
    """Whole answers, judged.

    Attributes:
        answers: those of the variants that are served; where nothing is, of those that came furthest.
        lines: labelled results.
        agreement: how much the answers differ from those of native FP32; None: the spec does not say what to compare.
        by: what the verdict is by: `labels`, or `agreement` with native FP32.
        labelled: where it is by agreement, accuracy of `native` and `served` by the classes that some samples have.
        failure: why nothing may be served though every model may; the models have their own.
        inconclusive: whether that is for want of samples, and the policy asks for proof.
        hypothetical: nothing is served, so this is what would have been.
    """

    metric: str
    answers: Artifact
    verdict: Verdict
    lines: int
    agreement: Optional[Mapping[str, Any]] = None
    by: str = LABELS
    labelled: Optional[Mapping[str, Any]] = None
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
            "agreement": self.agreement,
            "by": self.by,
            "labelled": self.labelled,
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

    Raises:
        SpecError: native FP32's answers have not what the spec's `agreement` compares.
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
    metric = context.spec.metric
    lines = sum(item.truth for item in measure.counts_of(reference) or [])
    verdict = verdict_on(answers, reference, metric, policy)
    agreed = agreement_of(context, reference, answers)
    by = AGREEMENT if context.spec.judge == AGREEMENT else LABELS
    known = _labelled(context, data, reference, answers) if by == AGREEMENT else None
    return Whole(metric, answers, verdict, lines, agreed, by, known, hypothetical=hypothetical)


def _labelled(
    context: Context, data: DatasetRef, reference: Artifact, answers: Artifact
) -> Optional[dict[str, Any]]:
    """None: no sample has a class, or the answers have none that could be compared with it."""
    wanted = context.spec.agreement
    classes = [sample.label for sample in data.dataset.validation]
    if wanted is None or wanted.kind != "top1" or all(item is None for item in classes):
        return None
    rule = Rule(wanted.kind, wanted.path, wanted.classes)
    if not labelled.comparable(rule, reference.info["answers"]):
        return None
    found = {"native": reference, "served": answers}
    return {name: labelled.accuracy(rule, classes, item.info["answers"]) for name, item in found.items()}


def agreement_of(context: Context, reference: Artifact, answers: Artifact) -> Optional[dict[str, Any]]:
    """How much answers differ from others to the same samples, as the evaluation and the release record it.

    Returns:
        `kind`, `path` and `classes` of what was compared, `samples`, the `rate` that differs (0..1), and `high`: with
        95 % confidence the true rate is not above it. None: the spec does not say what to compare.

    Raises:
        SpecError: the reference has not what is to be compared.
    """
    wanted = context.spec.agreement
    if wanted is None:
        return None
    rule = Rule(wanted.kind, wanted.path, wanted.classes)
    before, after = reference.info["answers"], answers.info["answers"]
    _require(context, rule, reference)
    found = [agreement.compare(rule, first, second) for first, second in zip(before, after)]
    rate = sum(found, Difference(0, 0)).rate
    return {
        "kind": rule.kind,
        "path": rule.path,
        "classes": rule.classes,
        "samples": len(found),
        "rate": round(rate, 9),
        "high": round(agreement.bound(found), 9),
    }


def _require(context: Context, rule: Rule, reference: Artifact) -> None:
    """What there is nothing to compare of differs even from itself."""
    for name, answer in zip(reference.info["names"], reference.info["answers"]):
        if agreement.compare(rule, answer, answer).differing:
            raise SpecError(
                f"native FP32's answer to {name} has no {rule.kind} at {rule.path}"
                + (f" with classes at {rule.classes}" if rule.classes else ""),
                where=f"{context.spec.directory / 'pipeline.yml'}: agreement",
                remedy="name what each answer has, as `member` or `list.member`; docs/quantization.md has the kinds",
            )


def verdict_on(answers: Artifact, reference: Artifact, metric: str, policy: Policy) -> Verdict:
    """The gate's verdict on whole answers; what precision the models run in does not matter here.

    Args:
        reference: whole answers of native FP32 to the same samples.
    """
    before, after = (measure.counts_of(item) or [] for item in (reference, answers))
    return gate.judge(before, Candidate("served", "pipeline", after), METRICS[metric], policy)


def _refused(found: Whole, context: Context, policy: Policy) -> Whole:
    undecided = found.verdict.status == "inconclusive" and policy.inconclusive != "accept"
    failure = f"{context.precision} was asked for, but with it the whole {found.verdict.reason}"
    return replace(found, failure=failure, inconclusive=undecided, hypothetical=True)
