"""What serves, compared steadily with its own FP32 models, by a small share of the live requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from toolkit.gateway.office import Office
from toolkit.supervisor import analysis
from toolkit.supervisor.analysis import FAILURE
from toolkit.supervisor.deployment import Deployment
from toolkit.supervisor.pairs import Pairs, expected, rule_of

logger = logging.getLogger(__name__)

# Pairs from one look to the next; the bound of a rate takes a while to compute.
_EVERY = 10


class Watch:
    """Runs from when it is made until `stop`; for one event loop.

    Args:
        serving: what serves; its release says how it is watched.
        standby: the replicas of its FP32 variant.
        breached: called once, with what was found, when the answers differ by more than they may.

    Attributes:
        breach: what was found then; empty: nothing.
    """

    def __init__(
        self,
        office: Office,
        serving: Deployment,
        standby: Deployment,
        breached: Callable[[str], None],
    ) -> None:
        self._office = office
        self._plan = serving.plan.watch
        self._limit = expected(serving.plan.agreement) + self._plan.max_disagreement
        self._breached = breached
        self._pairs = Pairs(rule_of(serving.plan, standby.plan), self._plan.window, self._look)
        self._seen = 0
        self._is_over = False
        self.breach = ""
        # FP32 is what is compared with: where it fails there is nothing to compare.
        office.mirror(standby.desk, serving.desk, self._plan.sample, self._pairs.add)

    def stop(self) -> None:
        """End it; what is being looked at has no consequence any more."""
        self._is_over = True
        self._office.mirror_off()

    async def _look(self) -> None:
        """Now and then; half a window is enough to judge by."""
        self._seen += 1
        if self._seen % _EVERY:
            return
        found = await asyncio.to_thread(
            analysis.answers, list(self._pairs.differences), self._limit, max(1, self._plan.window // 2)
        )
        if self._is_over:
            return
        self._office.metrics.disagreement(found.value or 0.0)
        if found.result != FAILURE or found.count < self._plan.window // 2:
            return
        self._office.metrics.analysed(found.name, found.result)
        if not self.breach:
            self.breach = found.text
            logger.error("the watch on what serves: %s", found.text)
            self._breached(found.text)
