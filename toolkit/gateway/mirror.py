"""Requests that a second release is asked, too, so that what both say can be compared; no client notices.

The second one is asked after the client has its answer, one request at a time, and only where a replica has a place to
spare: what would have to wait is dropped, and it takes no client's place.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from toolkit.client import protocol
from toolkit.gateway.endpoint import Endpoint, Gone, Reply
from toolkit.gateway.frontdesk import FrontDesk, is_own_error
from toolkit.gateway.metrics import Metrics

# Seconds until an answer that is ready has left for its client.
_PAUSE = 0.01


@dataclass(frozen=True)
class Pair:
    """What two releases said to one request.

    Attributes:
        first, second: serialized `protocol.Response`s, whichever of them the client got; None: it failed.
        first_seconds, second_seconds: the stages' own times added up, without waiting; 0 where the replica tells none.
    """

    first: bytes
    second: bytes | None
    first_seconds: float
    second_seconds: float


class Mirror:
    """Asks of each of two desks what the other one answered, until `stop`; for one event loop.

    Args:
        share: of the requests, 0..1.
        seen: called with each pair; must not block. Where `first` fails there is none: nothing to compare with.
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
        self._task: asyncio.Task[None] | None = None
        first.answered = partial(self._answered, second)
        second.answered = partial(self._answered, first)

    def stop(self) -> None:
        """Ask nothing more; a replica that is at work comes back by itself."""
        self._first.answered = self._second.answered = None
        if self._task is not None:
            self._task.cancel()

    def _answered(self, other: FrontDesk, request: bytes, reply: Reply) -> None:
        """A client has been answered by the desk that is not `other`."""
        self._due += self._share
        if self._due < 1:
            return
        self._due -= 1
        if self._task is not None:
            self._metrics.mirrored("dropped")
            return
        self._task = asyncio.create_task(self._ask(other, request, reply))
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled():
            task.result()

    async def _ask(self, other: FrontDesk, request: bytes, reply: Reply) -> None:
        await asyncio.sleep(_PAUSE)
        endpoint = other.pool.take_spare()
        if endpoint is None:
            self._metrics.mirrored("dropped")
            return
        work = asyncio.ensure_future(endpoint.call(protocol.PATH, request))
        work.add_done_callback(partial(_give_back, other, endpoint))
        await asyncio.wait({work}, timeout=other.options.deadline)
        answer = _answer(work)
        if not is_own_error(reply.body):
            other.outcomes.add(failed=answer is None)
        self._metrics.mirrored("failed" if answer is None else "compared")
        self._tell(other, reply, answer)
        # The replica that did not answer in time has the only request that may be under way.
        await asyncio.wait({work})

    def _tell(self, other: FrontDesk, client: Reply, mirrored: Reply | None) -> None:
        if other is self._second:
            body, seconds = (None, 0.0) if mirrored is None else (mirrored.body, _seconds(mirrored.timings))
            self._seen(Pair(client.body, body, _seconds(client.timings), seconds))
        elif mirrored is not None:
            self._seen(Pair(mirrored.body, client.body, _seconds(mirrored.timings), _seconds(client.timings)))


def _answer(work: asyncio.Future[Reply]) -> Reply | None:
    """What came of a request; None: nothing in time, a failure of the replica, or an error of the service's own."""
    if not work.done() or work.exception() is not None or is_own_error(work.result().body):
        return None
    return work.result()


def _give_back(desk: FrontDesk, endpoint: Endpoint, work: asyncio.Future[Reply]) -> None:
    if not work.cancelled() and isinstance(work.exception(), Gone):
        desk.pool.suspect(endpoint)
    desk.pool.give_back_spare(endpoint)


def _seconds(timings: Mapping[str, Any]) -> float:
    """The stages' times added up; another process says them, so what is no time counts as none."""
    stages: Any = timings.get("stages")
    times = stages.values() if isinstance(stages, dict) else ()
    return float(sum(item for item in times if type(item) in (int, float) and 0 <= item < math.inf))
