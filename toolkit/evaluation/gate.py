"""The gate: which candidate may be served, by how much accuracy it lost against native FP32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Optional

from toolkit.errors import DataError
from toolkit.evaluation.metrics import Counts, total


@dataclass(frozen=True)
class Candidate:
    """A way to run one model, as it was measured.

    Attributes:
        label: `int8`, `bf16`, `fp32` or `native`.
        counts: of each validation sample, in the order of the reference's; None: it did not run.
        kernels: what the proof said; empty for the reference.
        problem: why it did not run.
    """

    label: str
    counts: Optional[tuple[Counts, ...]]
    kernels: str = ""
    problem: Optional[str] = None


@dataclass(frozen=True)
class Judgement:
    """What the gate says of a candidate.

    Attributes:
        metric: value in 0..1; None: it did not run.
        drop: points lost against the reference; negative: won.
        better: samples on which it has more right than the reference.
        worse: samples on which it has less right.
    """

    label: str
    metric: Optional[float]
    drop: Optional[float]
    better: int
    worse: int
    passed: bool
    reason: str
    kernels: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def judge(reference: Candidate, candidate: Candidate, metric: str, max_drop: float) -> Judgement:
    """Compare a candidate with the reference on the same samples.

    Args:
        metric: the property of `Counts` to compare.
        max_drop: points; a drop of as much or more fails.

    Raises:
        DataError: the samples have no labelled result, so that nothing could be lost.
    """
    if reference.counts is None:
        raise ValueError("the reference has not been measured")
    if not total(reference.counts).truth:
        raise DataError(
            "the validation images have no legible line, so no candidate can be judged by them",
            remedy="label the lines in validation.txt",
        )
    if candidate.counts is None:
        return Judgement(candidate.label, None, None, 0, 0, False, f"did not run: {candidate.problem}")
    before, after = (float(getattr(total(item), metric)) for item in (reference.counts, candidate.counts))
    # In floating point a drop of exactly the limit may come out a hair below it.
    drop = round(100 * (before - after), 9)
    passed = drop < max_drop
    if len(candidate.counts) != len(reference.counts):
        raise ValueError("the candidate was measured on other samples than the reference")
    gains = [new.matched - old.matched for old, new in zip(reference.counts, candidate.counts)]
    return Judgement(
        candidate.label,
        after,
        drop,
        sum(gain > 0 for gain in gains),
        sum(gain < 0 for gain in gains),
        passed,
        _reason(drop, max_drop, passed),
        candidate.kernels,
    )


def _reason(drop: float, max_drop: float, passed: bool) -> str:
    change = (
        f"loses {drop:.2f} points"
        if drop > 0
        else f"gains {-drop:.2f} points"
        if drop < 0
        else "loses nothing"
    )
    return f"{change}, limit {max_drop:g}" if passed else f"{change}, must be under {max_drop:g}"


def choose(judgements: Sequence[Judgement]) -> Optional[Judgement]:
    """The first that passed; the order is that of preference."""
    return next((item for item in judgements if item.passed), None)
