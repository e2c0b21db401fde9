"""A request's way to a replica, and to a second one if the first went down with it."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial

from toolkit.gateway import access
from toolkit.gateway.deadline import Deadline
from toolkit.gateway.endpoint import Endpoint, Gone, Reply
from toolkit.gateway.faults import DeadlineExceeded, NotReady, Poison
from toolkit.gateway.metrics import Metrics
from toolkit.gateway.poison import Poisons
from toolkit.gateway.pool import Pool

logger = logging.getLogger(__name__)


class Dispatcher:
    """Sends requests to the replicas of a pool.

    A request whose replica dies or hangs is tried once more, also if it had begun: an inference has no side effects.
    It is alone on its second replica. So one that takes that down too did so by itself; it is poison, refused now
    and when it comes again. A replica that was down already does not count, and one that was ended for its silence
    counts when that happens to the same request again. With a release on trial the second replica is one of the release
    that serves.
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
        record = access.current()
        if not record.lost:
            try:
                return await self._answer(await self._take(deadline, alone=False), path, request, deadline)
            except Gone as first:
                logger.warning("a request is tried on another replica: %s", first)
                self._metrics.retried()
                record.lost = True
        if record.instead is not None:
            # There is a release that is known to be sound.
            raise NotReady("the model server went away", "try again in a moment")
        while True:
            endpoint = await self._take(deadline, alone=True)
            try:
                return await self._answer(endpoint, path, request, deadline)
            except Gone as second:
                # One that was down before it got the request is withdrawn, and the next one asked.
                if second.reached:
                    raise self._blame(request, endpoint) from None

    def _blame(self, request: bytes, endpoint: Endpoint) -> Exception:
        """What a request is told that had a replica for itself, and lost it."""
        if endpoint.excused and not self._poisons.suspected(request):
            logger.error("a request lost two replicas; it is refused if that happens again")
            return NotReady("two model servers gave no sign of life", "try again in a moment")
        digest = self._poisons.add(request)
        self._metrics.poisoned()
        logger.error("a request took two replicas down and is refused from now on, SHA-256 %s", digest)
        return _poison(digest)

    async def _take(self, deadline: Deadline, alone: bool) -> Endpoint:
        record = access.current()
        came = time.monotonic()
        endpoint = await self._pool.take(deadline, alone)
        record.queue_seconds += time.monotonic() - came
        return endpoint

    async def _answer(self, endpoint: Endpoint, path: str, request: bytes, deadline: Deadline) -> Reply:
        record = access.current()
        began = time.monotonic()
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
