"""How much worse one run is than another on the same samples, and how sure that is: a paired cluster bootstrap.

Samples (images) are what is drawn, whole: the lines of one page are right or wrong together. Both runs are drawn
alike, so that only what differs between them makes noise.

The bounds are those of the bootstrap-t (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, section 12.5):
the drop less a quantile of (drop of a draw - drop) / (standard error of the draw), times the standard error. Standard
errors come from the jackknife (section 11.5), those of draws from its influence values. Two things are on the safe
side:

- a quantile is never nearer than Student's t with samples - 1 degrees of freedom;
- the standard error is never taken without two results more (`_UNSEEN`), added to its square. Runs with equal results
  have a standard error of zero, which proves nothing: what befalls one in a hundred results does not show in fifty. Two
  results give equal runs of n results a bound of at least 3.3 / n, the rule of three (no event in n trials: with 95 %
  confidence fewer than 3 / n; Hanley & Lippman-Hand, JAMA 249, 1983).

Chosen by simulation: 16, 30, 60 and 110 pages of 10 to 50 lines, 85 % of them right, 0.5 to 3 % of them changed, from
evenly to very unevenly over the pages. Of candidates whose true drop is exactly the limit, at 95 % there should pass at
most 5 %. With the percentile interval 5 to 20 % do, with BCa 4 to 19 %, with the jackknife's error and Student's t 3 to
21 %, with the bootstrap-t alone 1 to 19 %, worst where pages are few and only losses happen; with this one 0 to 6 %.
tests/evaluation/test_paired.py repeats a part.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from toolkit.evaluation.metrics import Floats
from toolkit.evaluation.ratios import Metric

_DRAWS = 4000
_SEED = 20_230_817
_UNSEEN = 2
_CHUNK = 4_000_000  # elements of the matrix of draws at a time
_WORTHWHILE = 100  # times the samples there are; a limit that needs more cannot be decided in practice


@dataclass(frozen=True)
class Difference:
    """What a candidate lost against a reference.

    Attributes:
        reference: the metric of the reference, 0..1.
        candidate: the metric of the candidate.
        drop: points (100 times the metric) lost; of a relative difference, per cent of the reference's; negative: won.
        lower: with `confidence` the true drop is not below this.
        upper: with `confidence` the true drop is not above this.
        samples: how many there were.
        better: samples on which the candidate's metric is higher.
        worse: samples on which it is lower.
    """

    reference: float
    candidate: float
    drop: float
    lower: float
    upper: float
    samples: int
    better: int
    worse: int
    confidence: float
    relative: bool

    def needed(self, limit: float) -> Optional[int]:
        """How many samples would decide whether the drop is under `limit`, if it stays what it is.

        The distance of a bound from the drop falls with the square root of the samples. None: it is decided; or the
        drop is so near the limit that a hundred times the samples would not decide; or one sample says nothing.
        """
        if self.upper < limit or self.lower >= limit or self.samples < 2:
            return None
        reach = self.upper - self.drop if self.drop < limit else self.drop - self.lower
        margin = abs(limit - self.drop)
        if margin * math.sqrt(_WORTHWHILE) <= reach:
            return None
        return max(self.samples + 1, math.ceil(self.samples * (reach / margin) ** 2))


def compare(
    reference: Sequence[Any],
    candidate: Sequence[Any],
    metric: Metric,
    confidence: float = 0.95,
    *,
    relative: bool = False,
    draws: int = _DRAWS,
) -> Difference:
    """The difference between two runs on the same samples; the same in every run.

    Args:
        reference: the record of each sample, as `metric` takes them.
        candidate: likewise, in the same order.
        confidence: of each of the two bounds, over 0.5 and under 1.

    Raises:
        ValueError: the runs have not the same number of samples, or none; or the confidence is out of range.
    """
    if not 0.5 < confidence < 1:
        raise ValueError(f"a confidence of {confidence} is not between 0.5 and 1")
    if len(reference) != len(candidate) or not reference:
        raise ValueError("the candidate was not measured on the samples of the reference")
    runs, count = (reference, candidate), len(reference)
    before, after = (metric.values(run, np.ones((1, count))) for run in runs)
    drop = float(_drops(before, after, relative)[0])
    scale = 100 / float(before[0]) if relative and before[0] else 100.0
    unseen = _UNSEEN * scale * min(1.0, max(metric.step(run) for run in runs))
    lower, upper = -scale, 100.0
    if count > 1:
        lower, upper = _bounds(runs, metric, drop, unseen, confidence, relative, draws)
    each = [_in_turn(metric, run) for run in runs]
    return Difference(
        reference=float(before[0]),
        candidate=float(after[0]),
        # In floating point a drop of exactly the limit may come out a hair below it.
        drop=round(drop, 9),
        lower=round(max(lower, -scale), 9),
        upper=round(min(upper, 100.0), 9),
        samples=count,
        better=int((each[1] > each[0]).sum()),
        worse=int((each[1] < each[0]).sum()),
        confidence=confidence,
        relative=relative,
    )


def _drops(reference: Floats, candidate: Floats, relative: bool) -> Floats:
    """Points, or per cent of the reference where that is not zero."""
    lost = 100 * (reference - candidate)
    return np.divide(lost, reference, out=np.zeros_like(lost), where=reference > 0) if relative else lost


def _bounds(
    runs: tuple[Sequence[Any], Sequence[Any]],
    metric: Metric,
    drop: float,
    unseen: float,
    confidence: float,
    relative: bool,
    draws: int,
) -> tuple[float, float]:
    """The lower and the upper bound of the drop; `unseen` is the least standard error, in the drop's unit."""
    count = len(runs[0])

    def drops(weights: Floats) -> Floats:
        return _drops(metric.values(runs[0], weights), metric.values(runs[1], weights), relative)

    without = np.concatenate([drops(1 - block) for block in _identity(count)])
    influence = (count - 1) * (without.mean() - without)
    error = float(np.sqrt((influence**2).sum() / (count * (count - 1))))
    student = _student(confidence, count - 1)
    low, high = -student, student
    if error > 1e-9:
        ratios = np.concatenate([_ratios(drops, block, drop, influence) for block in _draws(count, draws)])
        if len(ratios):
            quantiles = np.quantile(ratios, [1 - confidence, confidence])
            low, high = min(low, float(quantiles[0])), max(high, float(quantiles[1]))
    error = math.hypot(error, unseen)
    return drop - high * error, drop - low * error


def _ratios(drops: Any, weights: Floats, drop: float, influence: Floats) -> Floats:
    """(drop of a draw - drop) / standard error of the draw, for the draws that have one."""
    count = weights.shape[1]
    mean = weights @ influence / count
    spread = np.maximum(weights @ influence**2 / count - mean**2, 0)
    errors = np.sqrt(spread / (count - 1))
    some = errors > 1e-9
    return np.asarray((drops(weights)[some] - drop) / errors[some])


def _draws(count: int, draws: int) -> Iterator[Floats]:
    """How often each of `count` samples is drawn, in blocks (draws, samples)."""
    random = np.random.default_rng(_SEED)
    rows = max(1, _CHUNK // count)
    for at in range(0, draws, rows):
        size = min(rows, draws - at)
        drawn = random.integers(count, size=(size, count)) + count * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(float)


def _identity(count: int) -> Iterator[Floats]:
    """Each sample alone, in blocks (sets, samples)."""
    rows = max(1, _CHUNK // count)
    for at in range(0, count, rows):
        yield np.eye(min(rows, count - at), count, at)


def _in_turn(metric: Metric, run: Sequence[Any]) -> Floats:
    """The metric of each sample alone."""
    return np.concatenate([metric.values(run, block) for block in _identity(len(run))])


@functools.cache
def _student(confidence: float, freedom: int) -> float:
    """The quantile of Student's t: by bisection of its integral (Abramowitz & Stegun, 26.7.3 and 26.7.4).

    From 1,000 degrees of freedom on it is that of 1,000, which is 0.1 % larger than the limit's at 0.95.
    """
    freedom = min(freedom, 1000)
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        if _within(middle, freedom) < 2 * confidence - 1:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _within(angle: float, freedom: int) -> float:
    """The probability that |t| is at most sqrt(freedom) tan(angle)."""
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = term if freedom > 1 else 0.0
    for power in range(odd, freedom - 3, 2):
        term *= (power + 1) / (power + 2) * math.cos(angle) ** 2
        total += term
    inner = math.sin(angle) * total
    return 2 / math.pi * (angle + inner) if odd else inner
