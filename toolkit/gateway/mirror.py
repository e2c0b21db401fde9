"""Requests that a second release is asked, too, so that what both say can be compared; no client notices.

The second one is asked after the client has its answer, one request at a time, and only where a replica has nothing to
do: what would have to wait is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from toolkit.gateway.endpoint import Reply
from toolkit.gateway.frontdesk import FrontDesk
from toolkit.gateway.metrics import Metrics

logger = logging.getLogger(__name__)

# Seconds for the client's answer to be written in.
_AFTER = 0.01


@dataclass(frozen=True)
class Pair:
    """What two releases said to one request, whichever of them the client was answered by.

    Attributes:
        first, second: serialized `protocol.Response`s; None: there was none.
        first_seconds, second_seconds: what the stages of each took, without waiting; 0: it did not say.
    """

    first: bytes | None
    second: bytes | None
    first_seconds: float
    second_seconds: float


class Mirror:
    """Runs from when it is made until `stop`; for one event loop.

    Args:
        share: of the requests, 0..1.
        seen: called with each pair.
    """

    def __init__(
        self,
        first: FrontDesk,
        second: FrontDesk,
        share: float,
        seen: Callable[[Pair], None],
        metrics: Metrics,
    ) -> None:
        self._first, self._second = first, second
        self._share, self._due = share, 0.0
        self._seen = seen
        self._metrics = metrics
        self._asking: asyncio.Future[None] | None = None
        first.answered = second.answered = self._offer

    def stop(self) -> None:
        """Ask nothing more."""
        self._first.answered = self._second.answered = None
        if self._asking is not None:
            self._asking.cancel()

    def _offer(self, desk: FrontDesk, request: bytes, reply: Reply) -> None:
        """`desk` has answered a client."""
        self._due += self._share
        if self._due < 1:
            return
        self._due -= 1
        if self._asking is not None and not self._asking.done():
            self._metrics.mirrored("dropped")
        else:
            self._asking = asyncio.ensure_future(self._ask(desk, request, reply))

    async def _ask(self, asked: FrontDesk, request: bytes, reply: Reply) -> None:
        await asyncio.sleep(_AFTER)
        other = self._second if asked is self._first else self._first
        asking = other.repeat(request)
        if asking is None:
            self._metrics.mirrored("dropped")
            return
        found = await asking
        self._metrics.mirrored("compared" if found is not None else "failed")
        first, second = (reply, found) if asked is self._first else (found, reply)
        self._seen(Pair(_body(first), _body(second), _seconds(first), _seconds(second)))


def _body(reply: Reply | None) -> bytes | None:
    return None if reply is None else reply.body


def _seconds(reply: Reply | None) -> float:
    stages: Any = {} if reply is None else reply.timings.get("stages")
    if not isinstance(stages, Mapping):
        return 0.0
    return float(sum(value for value in stages.values() if isinstance(value, (int, float)) and value >= 0))
