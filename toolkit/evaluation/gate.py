"""The gate: whether a candidate keeps the accuracy of native FP32, and which of those that do is served.

A verdict is *pass* when the drop is under the limit with the confidence that is asked for, *fail* when it is as large
as the limit or larger with that confidence, and *inconclusive* otherwise. It is asked for once, on samples that no
search has seen: the more candidates are judged until one passes, the likelier one passes by luck.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Optional

from typing_extensions import Literal

from toolkit.errors import DataError
from toolkit.evaluation import paired
from toolkit.evaluation.paired import Difference
from toolkit.evaluation.ratios import Metric

Status = Literal["pass", "fail", "inconclusive"]
Decision = Literal["serve", "next", "fp32"]
Preference = Literal["int8", "latency", "size"]

NOISE = 0.03  # share within which two latencies are the same, however little they were seen to spread


@dataclass(frozen=True)
class Policy:
    """What the spec asks of a candidate.

    Attributes:
        max_drop: a candidate must lose less: points, or per cent of the reference's value where `relative`.
        confidence: of each bound, over 0.5 and under 1.
        inconclusive: what becomes of a candidate that is neither passed nor failed, see `decide`.
        prefer: what decides among candidates that may be served, see `choose`.
        int8_share: of its multiply-accumulates a candidate in INT8 runs at least this share in INT8 kernels.
    """

    max_drop: float = 0.5
    relative: bool = False
    confidence: float = 0.95
    inconclusive: Literal["accept", "reject", "next"] = "accept"
    prefer: Preference = "int8"
    int8_share: float = 0.5

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Candidate:
    """A way to run one model, as it was measured.

    Attributes:
        label: what it is called in tables.
        precision: `int8`, `bf16` or `fp32`.
        records: of each sample, in the order of the reference's; None: it did not run.
        int8_share: share of the multiply-accumulates that ran in INT8 kernels; None: not measured.
        problem: why it did not run, in words: "crashed: killed by SIGSEGV".
    """

    label: str
    precision: str
    records: Optional[Sequence[Any]]
    int8_share: Optional[float] = None
    problem: Optional[str] = None


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a candidate.

    Attributes:
        difference: from the reference; None: it did not run.
        needed: samples that would decide, of an inconclusive verdict; None: decided, or no number would.
        reason: in words, to be read after the candidate's name.
        problem: why it did not run.
    """

    label: str
    precision: str
    status: Status
    difference: Optional[Difference]
    needed: Optional[int]
    reason: str
    problem: Optional[str] = None


def judge(reference: Sequence[Any], candidate: Candidate, metric: Metric, policy: Policy) -> Verdict:
    """Compare a candidate with native FP32 on the same samples.

    Args:
        reference: the record of each sample, as native FP32 has it.

    Raises:
        DataError: the samples have no labelled result, or, for a relative limit, the reference has nothing right; so
            nothing could be lost.
        ValueError: the candidate was measured on other samples.
    """
    if not metric.truth(reference):
        raise DataError(
            "the validation samples have no labelled result, so no candidate can be judged by them",
            remedy="label the samples in validation.txt",
        )
    if candidate.records is None:
        return _verdict(candidate, "fail", None, candidate.problem or "did not run")
    difference = paired.compare(
        reference, candidate.records, metric, policy.confidence, relative=policy.relative
    )
    if policy.relative and not difference.reference:
        raise DataError(
            "native FP32 has nothing right on the validation samples, so a relative drop is not defined",
            remedy="look at the labels in validation.txt and at the model, or make the gate's limit absolute",
        )
    share = candidate.int8_share
    if candidate.precision == "int8" and (share is None or share < policy.int8_share):
        return _verdict(candidate, "fail", difference, _too_little(share, policy.int8_share))
    status = _status(difference, policy.max_drop)
    needed = difference.needed(policy.max_drop)
    return _verdict(
        candidate, status, difference, _reason(status, difference, policy.max_drop, needed), needed
    )


def _status(difference: Difference, limit: float) -> Status:
    if difference.upper < limit:
        return "pass"
    return "fail" if difference.lower >= limit else "inconclusive"


def _verdict(
    candidate: Candidate,
    status: Status,
    difference: Optional[Difference],
    reason: str,
    needed: Optional[int] = None,
) -> Verdict:
    return Verdict(
        candidate.label, candidate.precision, status, difference, needed, reason, candidate.problem
    )


def _too_little(share: Optional[float], wanted: float) -> str:
    if share is None:
        return "is not proven to run INT8 kernels"
    return f"runs {share:.0%} of its multiply-accumulates in INT8, must be at least {wanted:.0%}"


def _reason(status: Status, difference: Difference, limit: float, needed: Optional[int]) -> str:
    """The drop, the bound that decided, or both with what it would take."""
    unit = "% of the reference" if difference.relative else "points"
    drop = difference.drop
    amount = "under 0.01" if abs(drop) < 0.01 else f"{abs(drop):.2f}"
    change = f"{'loses' if drop > 0 else 'gains'} {amount} {unit}" if drop else "loses nothing"
    bounds = {
        "pass": f"at most {difference.upper:.2f} lost",
        "fail": f"at least {difference.lower:.2f} lost",
        "inconclusive": f"between {difference.lower:.2f} and {difference.upper:.2f} lost",
    }[status]
    sure = f"{'each ' if status == 'inconclusive' else ''}{100 * difference.confidence:g} % sure"
    text = f"{change} ({bounds}, {sure}), limit {limit:g}"
    return text if status != "inconclusive" else f"{text}: inconclusive, {_would_decide(difference, needed)}"


def _would_decide(difference: Difference, needed: Optional[int]) -> str:
    if needed:
        return f"about {needed} samples instead of {difference.samples} would decide"
    return (
        "one sample decides nothing"
        if difference.samples == 1
        else "too near the limit for any number of samples"
    )


def decide(verdict: Verdict, policy: Policy) -> Decision:
    """What becomes of a candidate: it is served, the next one is looked at, or only FP32 is.

    - pass: served. fail: the next.
    - inconclusive, `accept`: served if the drop itself is under the limit, else the next, as if it had failed. The
      verdict stays inconclusive wherever it is shown.
    - inconclusive, `reject`: no other INT8 or bf16 candidate is looked at; the FP32 candidates are judged by the same
      rule, and native FP32 remains. For who wants no second try on the same samples.
    - inconclusive, `next`: the next candidate, which may be decided. Only one that passes is served, else native FP32;
      with every further try on the same samples a lucky pass gets likelier.
    """
    if verdict.status == "pass":
        return "serve"
    if verdict.status == "fail" or verdict.difference is None:
        return "next"
    if policy.inconclusive == "accept":
        return "serve" if verdict.difference.drop < policy.max_drop else "next"
    return "fp32" if policy.inconclusive == "reject" else "next"


@dataclass(frozen=True)
class Option:
    """A judged candidate with what it costs.

    Attributes:
        milliseconds: of the inferences for a sample; None: not measured, since it did not run.
        ratio: how many times as fast as native FP32, measured in turn with it.
        size: bytes of its model.
        spread: share of the ratio that it was seen to vary by.
    """

    verdict: Verdict
    milliseconds: Optional[float]
    ratio: Optional[float]
    size: int
    spread: Optional[float] = None

    @property
    def noise(self) -> float:
        """Share of its latency that says nothing."""
        return noise(self.spread)


def noise(spread: Optional[float]) -> float:
    """Share of a latency within which another one is the same, of one that was seen to vary by `spread`."""
    return max(NOISE, spread or 0.0)


@dataclass(frozen=True)
class Choice:
    """What is served.

    Attributes:
        chosen: None: native FP32.
        fastest: what `prefer: latency` would have taken; None: native FP32.
    """

    chosen: Optional[Option]
    fastest: Optional[Option]


def choose(options: Sequence[Option], policy: Policy) -> Choice:
    """The candidate to serve, of those that are not native FP32.

    - `int8`: the fastest in INT8; if none may be served, as `latency`.
    - `latency`: the fastest.
    - `size`: the smallest; of equal sizes the fastest.

    Latencies are compared by their ratios to native FP32, since a machine's speed drifts. Those within 3 %, or within
    what either was seen to vary by, are the same: the one with the smaller drop is taken, and of equal drops the
    faster. A candidate must be faster than native FP32 by more than that, since native FP32 loses nothing; only with
    `size` may one in INT8, which is smaller, be slower. With `inconclusive: reject` the first candidate in this order
    that has not failed is the only one in INT8 or bf16 that is looked at.
    """
    return Choice(_take(options, policy, policy.prefer), _take(options, policy, "latency"))


def _take(options: Sequence[Option], policy: Policy, prefer: Preference) -> Optional[Option]:
    """The first in the order of `prefer` that may be served."""
    left = [item for item in options if _pays(item, prefer) and decide(item.verdict, policy) != "next"]
    while left:
        best = _best(left, prefer)
        if decide(best.verdict, policy) == "serve":
            return best
        left = [item for item in left if item is not best and item.verdict.precision == "fp32"]
    return None


def _pays(option: Option, prefer: Preference) -> bool:
    """Whether there is any reason not to serve native FP32 instead."""
    faster = option.ratio is not None and option.ratio > 1 + option.noise
    return faster or (prefer == "size" and option.verdict.precision == "int8")


def _best(options: Sequence[Option], prefer: Preference) -> Option:
    """The most preferred; among those whose latency is the same, the most accurate."""
    if prefer == "size":
        smallest = min(item.size for item in options)
        options = [item for item in options if item.size == smallest]
    if prefer == "int8":
        options = [item for item in options if item.verdict.precision == "int8"] or options
    fastest = min(options, key=_time)
    same = [item for item in options if _time(item) <= _time(fastest) * (1 + max(fastest.noise, item.noise))]
    return min(same, key=lambda item: (_drop(item), _time(item)))


def _time(option: Option) -> float:
    """In units of native FP32's."""
    return 1 / option.ratio if option.ratio else math.inf


def _drop(option: Option) -> float:
    return option.verdict.difference.drop if option.verdict.difference else math.inf
