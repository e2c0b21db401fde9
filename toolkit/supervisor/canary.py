"""A new release with a share of the requests, in steps; at each it is compared with the one that serves.

    requests --- 90 % ---> the release that serves ---.
          '----- 10 % ---> the new one ---------------'--- a sample of each is asked of the other, too

https://argoproj.github.io/argo-rollouts/features/analysis has the rules that steps and failures follow.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from toolkit.errors import CanaryError
from toolkit.evaluation.agreement import Difference
from toolkit.gateway.office import Office
from toolkit.supervisor import analysis
from toolkit.supervisor.analysis import FAILURE, INCONCLUSIVE, Measurement
from toolkit.supervisor.deployment import Deployment
from toolkit.supervisor.pairs import Pairs, expected, rule_of

logger = logging.getLogger(__name__)

# Pairs of a step that are looked at: more would make the bound slow to compute, and tell little more.
_KEPT = 2000


@dataclass(frozen=True)
class Analysis:
    """What was found at one moment.

    Attributes:
        percent: of the requests that the new release had.
        seconds: since the canary began.
        result: `success`, `failure` or `inconclusive`, of all measurements together.
    """

    percent: float
    seconds: float
    result: str
    measurements: tuple[Measurement, ...]

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.percent:g} %, {self.result}: {'; '.join(item.text for item in self.measurements)}"

    def to_json(self) -> dict[str, Any]:
        """The analysis as a JSON object."""
        return {**asdict(self), "measurements": [item.to_json() for item in self.measurements]}


class Canary:
    """One canary; for one event loop.

    Args:
        stable: what serves.
        new: what is on trial; its release says how.
        tell: called with each analysis.

    Attributes:
        percent: of the requests that the new release has at this moment.
    """

    def __init__(
        self,
        office: Office,
        stable: Deployment,
        new: Deployment,
        tell: Callable[[Analysis], None] = lambda analysis: None,
    ) -> None:
        self._office = office
        self._stable, self._new = stable, new
        self._plan = new.plan.canary
        self._tell = tell
        self._rule = rule_of(stable.plan, new.plan)
        self._pairs = Pairs(self._rule, _KEPT)
        self._failures = self._inconclusives = 0
        self._began = time.monotonic()
        self.percent = 0.0

    @property
    def label(self) -> str:
        """Of the new release, for people."""
        return self._new.target.label

    async def run(self, percent: float) -> None:
        """Go all steps from `percent` on; when this ends, in whatever way, the new release has no share any more.

        Raises:
            CanaryError: the new release did worse, or that could not be told for too long.
        """
        self._office.mirror(self._stable.desk, self._new.desk, self._plan.mirror, self._pairs.add)
        try:
            for share in (percent, *(step for step in self._plan.steps if step > percent)):
                await self._step(share)
        finally:
            self._share(0)
            self._office.mirror_off()

    def _share(self, percent: float) -> None:
        self.percent = percent
        self._office.split(self._new.desk if percent else None, percent)
        self._office.metrics.canary_weight(percent)

    async def _step(self, percent: float) -> None:
        self._share(percent)
        self._pairs.forget()
        outcomes = self._new.desk.outcomes
        requests, failed = outcomes.requests, outcomes.failed
        left = self._plan.successes
        logger.info("%s has %g %% of the requests", self.label, percent)
        while left:
            await asyncio.sleep(self._plan.interval_seconds)
            # A request of the step before may have been excused meanwhile.
            found = await self._analyse(
                max(0, outcomes.requests - requests), max(0, outcomes.failed - failed)
            )
            logger.info("canary of %s: %s", self.label, found.text)
            self._tell(found)
            self._refuse(found)
            left -= found.result == analysis.SUCCESS

    async def _analyse(self, requests: int, failed: int) -> Analysis:
        # The bound of a rate takes a while to compute.
        measurements = await asyncio.to_thread(
            self._measure, requests, failed, list(self._pairs.ratios), list(self._pairs.differences)
        )
        metrics, found = self._office.metrics, {item.name: item.value for item in measurements}
        for item in measurements:
            metrics.analysed(item.name, item.result)
        metrics.latency_ratio(found.get(analysis.LATENCY) or 0.0)
        metrics.disagreement(found.get(analysis.ANSWERS) or 0.0)
        seconds = round(time.monotonic() - self._began, 1)
        return Analysis(self.percent, seconds, analysis.together(measurements), measurements)

    def _measure(
        self, requests: int, failed: int, ratios: Sequence[float], differences: Sequence[Difference]
    ) -> tuple[Measurement, ...]:
        plan, stable, new = self._plan, self._stable.plan, self._new.plan
        found: tuple[Measurement, ...] = (
            analysis.errors(failed, requests, plan.max_errors, plan.min_requests),
        )
        if not plan.mirror:
            return found
        found += (analysis.latency(ratios, plan.max_latency_ratio, plan.min_requests),)
        if self._rule is None:
            return found
        limit = expected(stable.agreement, new.agreement) + plan.max_disagreement
        return (*found, analysis.answers(differences, limit, plan.min_requests))

    def _refuse(self, found: Analysis) -> None:
        """
        Raises:
            CanaryError: this was one analysis too many that did not succeed.
        """
        self._failures += found.result == FAILURE
        self._inconclusives += found.result == INCONCLUSIVE
        if self._failures <= self._plan.failures and self._inconclusives <= self._plan.inconclusives:
            return
        reasons = "; ".join(item.text for item in found.measurements if item.result == found.result)
        what = (
            "does worse than what serves" if found.result == FAILURE else "could not be told from what serves"
        )
        raise CanaryError(
            f"the new release {what}, with {self.percent:g} % of the requests: {reasons}",
            where=str(self._new.target.directory),
            remedy=_REMEDIES[found.result],
        )


_REMEDIES = {
    FAILURE: "see what is measured there; if the change is meant, allow it in the section `canary` of the pipeline",
    INCONCLUSIVE: "send more requests, or allow more analyses: `canary.inconclusives`, `canary.interval_seconds`",
}
