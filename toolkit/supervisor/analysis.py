"""Whether a release is worse than another on live requests: by its errors, its latency and its answers.

A measurement has failed when the limit is surely exceeded: the one-sided lower bound of what was measured, with a
confidence of 95 %, is above it. Of releases whose true figure is the limit, one analysis in twenty fails, at most. It
has succeeded when what was measured is within the limit, over the minimum of requests. Else it is inconclusive, and
more requests will tell. No minimum holds a failure up: the bound knows how many requests there were.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Optional

import numpy as np

from toolkit.evaluation import agreement
from toolkit.evaluation.agreement import Difference

SUCCESS, FAILURE, INCONCLUSIVE = "success", "failure", "inconclusive"
ERRORS, LATENCY, ANSWERS = "errors", "latency", "answers"

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Measurement:
    """What was measured of a release, and what that says of it.

    Attributes:
        name: `errors`, `latency` or `answers`.
        result: `success`, `failure` or `inconclusive`.
        value: share of requests (`errors`) or of answers (`answers`), 0..1, or a ratio of times (`latency`); None:
            there was nothing to measure.
        bound: with a confidence of 95 % the true value is not below this; None: for a bound there is too little.
        limit: what the true value must not be above, in its unit.
        count: of requests, or of pairs of answers.
    """

    name: str
    result: str
    value: Optional[float]
    bound: Optional[float]
    limit: float
    count: int

    @property
    def text(self) -> str:
        """For people: `answers differ by 7.1 % (at least 4.2 %, 95 % sure) over 64 requests; limit 1.9 %`."""
        if self.value is None:
            return f"{self.name}: no requests yet"
        words, figure = _WORDS[self.name]
        exceeds = self.value > self.limit
        sure = (
            f" (at least {figure(self.bound)}, {100 * _CONFIDENCE:.0f} % sure)"
            if exceeds and self.bound
            else ""
        )
        few = "; too few to tell" if self.result == INCONCLUSIVE and not exceeds else ""
        requests = f"{self.count} request{'s' if self.count > 1 else ''}"
        return f"{words.format(figure(self.value))}{sure} over {requests}; limit {figure(self.limit)}{few}"

    def to_json(self) -> dict[str, Any]:
        """All attributes by name."""
        return asdict(self)


def errors(failed: int, requests: int, limit: float, minimum: int) -> Measurement:
    """The share of requests that a release failed; its bound is Clopper and Pearson's (Biometrika 26, 1934).

    Args:
        failed: of `requests`.
        limit: share, 0..1.
        minimum: of requests, for a success.

    Raises:
        ValueError: more have failed than there were.
    """
    if failed > requests:
        raise ValueError(f"{failed} of {requests} requests cannot have failed")
    if not requests:
        return _judged(ERRORS, None, None, limit, 0, minimum)
    # Here, since a service that has no canary need not load it.
    from scipy.special import betaincinv

    low = float(betaincinv(failed, requests - failed + 1, 1 - _CONFIDENCE)) if failed else 0.0
    return _judged(ERRORS, failed / requests, low, limit, requests, minimum)


def latency(ratios: Sequence[float], limit: float, minimum: int) -> Measurement:
    """The median of the ratios of two releases' times for the same request.

    Its bound is the order statistic that the sign test gives (Conover, Practical Nonparametric Statistics):
    it asks nothing of the distribution, and takes five ratios at least.

    Args:
        ratios: of this release's time to the other one's, for each request.
        limit: ratio.
        minimum: of ratios, for a success.
    """
    count = len(ratios)
    if not count:
        return _judged(LATENCY, None, None, limit, 0, minimum)
    from scipy.special import bdtr

    below = np.count_nonzero(bdtr(np.arange(count), count, 0.5) <= 1 - _CONFIDENCE)
    low = sorted(ratios)[below - 1] if below else None
    return _judged(LATENCY, statistics.median(ratios), low, limit, count, minimum)


def answers(differences: Sequence[Difference], limit: float, minimum: int) -> Measurement:
    """The share of answers that differs between two releases; for the bound see `toolkit.evaluation.agreement.least`.

    That takes some 60 ms for each 100 requests, and does not belong on an event loop.

    Args:
        differences: of each request's two answers.
        limit: share, 0..1.
        minimum: of requests, for a success.
    """
    if not differences:
        return _judged(ANSWERS, None, None, limit, 0, minimum)
    rate = sum(differences, Difference(0, 0)).rate
    return _judged(ANSWERS, rate, agreement.least(differences, _CONFIDENCE), limit, len(differences), minimum)


def together(measurements: Collection[Measurement]) -> str:
    """The result of all: a failure if one has failed, a success if each is one, else inconclusive."""
    results = {item.result for item in measurements}
    if FAILURE in results:
        return FAILURE
    return SUCCESS if results == {SUCCESS} else INCONCLUSIVE


def _judged(
    name: str, value: Optional[float], bound: Optional[float], limit: float, count: int, minimum: int
) -> Measurement:
    if bound is not None and bound > limit:
        result = FAILURE
    elif value is not None and value <= limit and count >= minimum:
        result = SUCCESS
    else:
        result = INCONCLUSIVE
    return Measurement(name, result, value, bound, limit, count)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _times(ratio: float) -> str:
    return f"{ratio:.3g} times"


_WORDS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    ERRORS: ("errors are {}", _percent),
    LATENCY: ("latency is {} the other's", _times),
    ANSWERS: ("answers differ by {}", _percent),
}
