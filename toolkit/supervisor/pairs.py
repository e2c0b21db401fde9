"""What two releases said to the same requests, compared: how much answers differ, and how long each of them worked."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from toolkit.client import protocol
from toolkit.evaluation.agreement import Difference, Rule, compare
from toolkit.gateway.mirror import Pair
from toolkit.serving.release import Agreement, Release

logger = logging.getLogger(__name__)


def rule_of(first: Release, second: Release) -> Rule | None:
    """How answers of both are compared; None: the gate did not compare those of both, in the same way."""
    known = (first.agreement, second.agreement)
    rules = {None if item is None else Rule(item.kind, item.path, item.classes) for item in known}
    return rules.pop() if len(rules) == 1 else None


def expected(*known: Agreement | None) -> float:
    """How much the answers of releases may differ by what the gate measured of each: at most the sum."""
    return sum(item.high for item in known if item is not None)


class Pairs:
    """Collects them; for one event loop, on which nothing is compared.

    Args:
        rule: how answers are compared; None: they are not.
        kept: the last so many; None: all.
        seen: called after each.

    Attributes:
        differences: between the two answers of each pair.
        ratios: of the second one's time to the first one's.
    """

    def __init__(
        self,
        rule: Rule | None,
        kept: int | None = None,
        seen: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._rule = rule
        self._seen = seen
        self._work: set[asyncio.Future[None]] = set()
        self.differences: deque[Difference] = deque(maxlen=kept)
        self.ratios: deque[float] = deque(maxlen=kept)

    def add(self, pair: Pair) -> None:
        """Compare a pair, soon."""
        work = asyncio.ensure_future(self._add(pair))
        self._work.add(work)
        work.add_done_callback(self._work.discard)

    async def _add(self, pair: Pair) -> None:
        try:
            difference = await asyncio.to_thread(_difference, self._rule, pair)
        except Exception:
            logger.exception("two answers cannot be compared")
            return
        if difference is not None:
            self.differences.append(difference)
        if pair.first_seconds > 0 and pair.second_seconds > 0:
            self.ratios.append(pair.second_seconds / pair.first_seconds)
        if self._seen is not None:
            await self._seen()

    def forget(self) -> None:
        """Begin anew."""
        self.differences.clear()
        self.ratios.clear()


def _difference(rule: Rule | None, pair: Pair) -> Difference | None:
    """None: neither has an answer, as to what is no image."""
    answers = [_answer(body) for body in (pair.first, pair.second)]
    if rule is None or answers == [None, None]:
        return None
    return compare(rule, *answers)


def _answer(body: bytes | None) -> Any:
    if body is None:
        return None
    response = protocol.Response.FromString(body)
    text = protocol.first_value(response, protocol.RESULT_KEY) if response.err_no == protocol.OK else None
    return json.loads(text) if text is not None else None
