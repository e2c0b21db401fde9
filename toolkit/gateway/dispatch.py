"""A request's way to a replica, and to a second one if the first went down with it."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial

from toolkit.gateway import access
from toolkit.gateway.deadline import Deadline
from toolkit.gateway.endpoint import Endpoint, Gone, Reply
from toolkit.gateway.faults import DeadlineExceeded, Poison
from toolkit.gateway.metrics import Metrics
from toolkit.gateway.poison import Poisons
from toolkit.gateway.pool import Pool

logger = logging.getLogger(__name__)


class Dispatcher:
    """Sends requests to the replicas of a pool.

    A request whose replica dies or hangs is tried once more, also if it had begun: an inference has no side effects.
    It is alone on its second replica. So one that takes that down too did so by itself; it is poison, refused now
    and when it comes again.
    """

    def __init__(self, pool: Pool, metrics: Metrics) -> None:
        self._pool = pool
        self._metrics = metrics
        self._poisons = Poisons()

    async def ask(self, path: str, request: bytes, deadline: Deadline) -> Reply:
        """What a replica answers.

        Args:
            path: of the gRPC method.

        Raises:
            Fault: one of its subclasses.
        """
        known = self._poisons.find(request)
        if known is not None:
            raise _poison(known)
        try:
            return await self._attempt(path, request, deadline, alone=False)
        except Gone as first:
            logger.warning("a request is tried on another replica: %s", first)
            self._metrics.retried()
        try:
            return await self._attempt(path, request, deadline, alone=True)
        except Gone:
            digest = self._poisons.add(request)
            self._metrics.poisoned()
            logger.error("a request took two replicas down and is refused from now on, SHA-256 %s", digest)
            raise _poison(digest) from None

    async def _attempt(self, path: str, request: bytes, deadline: Deadline, alone: bool) -> Reply:
        record = access.current()
        came = time.monotonic()
        endpoint = await self._pool.take(deadline, alone)
        began = time.monotonic()
        record.queue_seconds += began - came
        record.replica = endpoint.index
        record.attempts += 1
        # The replica stays taken until it is done, whether or not anybody still waits: it cannot be interrupted.
        work = asyncio.ensure_future(endpoint.call(path, request))
        work.add_done_callback(partial(self._ended, endpoint, began))
        await asyncio.wait({work}, timeout=max(0.0, deadline.remaining))
        if not work.done():
            raise DeadlineExceeded(
                "no answer before the deadline", "send a smaller image, or allow more time"
            )
        reply = work.result()
        record.timings = reply.timings
        self._metrics.timings(record.queue_seconds, reply.timings)
        return reply

    def _ended(self, endpoint: Endpoint, began: float, work: asyncio.Future[Reply]) -> None:
        failure = None if work.cancelled() else work.exception()
        if isinstance(failure, Gone):
            self._pool.suspect(endpoint)
        worked = not work.cancelled() and failure is None
        self._pool.give_back(endpoint, time.monotonic() - began if worked else None)


def _poison(digest: str) -> Poison:
    return Poison(
        f"this request ends the model servers that work on it (SHA-256 {digest})",
        "do not send it again; report it with the file that it was made of",
    )
