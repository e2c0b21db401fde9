"""The one way in: places for requests, and what replicas answer in the terms of the pipeline."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Callable

from toolkit import oip
from toolkit.client import protocol
from toolkit.gateway import access, intake
from toolkit.gateway.catalog import Catalog
from toolkit.gateway.deadline import Deadline
from toolkit.gateway.dispatch import Dispatcher
from toolkit.gateway.endpoint import Reply
from toolkit.gateway.faults import (
    BadRequest,
    Fault,
    NotReady,
    Overloaded,
    ReplicaFault,
    TooLarge,
    UnknownModel,
    Unprocessable,
)
from toolkit.gateway.options import GatewayOptions
from toolkit.gateway.pool import Pool

_BY_ERR_NO: dict[int, type[Fault]] = {
    protocol.BAD_REQUEST: BadRequest,
    protocol.UNPROCESSABLE: Unprocessable,
    protocol.TOO_LARGE: TooLarge,
    protocol.NO_SERVICE: UnknownModel,
}


@dataclass
class Outcomes:
    """Requests to a release.

    Attributes:
        failed: those that it has no answer to through its own doing, or that a replica of it went away from.
    """

    requests: int = 0
    failed: int = 0

    def add(self, failed: bool) -> None:
        """One more."""
        self.requests += 1
        self.failed += failed

    def excuse(self) -> None:
        """One that it failed was failed by another release, too: it says nothing of this one."""
        self.requests -= 1
        self.failed -= 1


class FrontDesk:
    """Implements `Desk`; for one event loop.

    Args:
        places: requests that are read, wait or are answered at once.
        is_ready: whether a replica answered a golden inference rightly of late; must not block.

    Attributes:
        options, catalog, pool: as given.
        in_flight: places that are held.
        outcomes: of the requests that it was asked.
        answered: called with each request to the pipeline that it answered a client, and the reply; must not block.
    """

    def __init__(
        self,
        options: GatewayOptions,
        catalog: Catalog,
        pool: Pool,
        dispatcher: Dispatcher,
        places: int,
        is_ready: Callable[[], bool],
    ) -> None:
        self.options = options
        self.catalog = catalog
        self.in_flight = 0
        self.outcomes = Outcomes()
        self.answered: Callable[[bytes, Reply], None] | None = None
        self.pool = pool
        self._dispatcher = dispatcher
        self._places = places
        self._is_ready = is_ready

    @property
    def ready(self) -> bool:
        """What the supervisor says."""
        return self._is_ready()

    @property
    def waiting(self) -> int:
        """Requests that wait for a replica."""
        return self.pool.waiting

    @contextmanager
    def slot(self) -> Iterator[None]:
        """See `Desk.slot`."""
        if not self.ready:
            raise NotReady("the service is not ready", "try again in a moment; /readyz says when it is")
        if self.in_flight >= self._places:
            raise Overloaded(
                f"{self._places} requests are under way already",
                "try again later, or send fewer at a time",
                retry_after=min(30, max(1, math.ceil(self.pool.seconds_to_wait))),
            )
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    async def predict(self, content: bytes, deadline: Deadline) -> str:
        """See `Desk.predict`."""
        model = self.catalog.pipeline
        wanted = intake.of(model.accepts)
        body = await self.pipeline(protocol.pack_file(model.name, content, wanted.field), deadline)
        answer = protocol.Response.FromString(body)
        if answer.err_no != protocol.OK:
            fault = _BY_ERR_NO.get(answer.err_no, ReplicaFault)
            remedy = wanted.remedies.get(answer.err_no, "see the log of the service")
            raise fault(answer.err_msg or f"the model server answered error {answer.err_no}", remedy)
        text = protocol.first_value(answer, protocol.RESULT_KEY)
        if text is None:
            raise ReplicaFault("the model server answered without a result", "see the log of the service")
        return text

    async def pipeline(self, request: bytes, deadline: Deadline) -> bytes:
        """See `Desk.pipeline`."""
        reply = await self._ask(protocol.PATH, request, deadline, is_own_error)
        if self.answered is not None:
            self.answered(request, reply)
        return reply.body

    async def infer(self, request: bytes, deadline: Deadline) -> bytes:
        """See `Desk.infer`."""
        return (await self._ask(oip.INFER_PATH, request, deadline)).body

    async def _ask(
        self,
        path: str,
        request: bytes,
        deadline: Deadline,
        is_failure: Callable[[bytes], bool] = lambda body: False,
    ) -> Reply:
        """What a replica answers; its outcome is counted."""
        record = access.current()
        lost_before = record.lost
        try:
            reply = await self._dispatcher.ask(path, request, deadline)
        except Fault as fault:
            self.outcomes.add(failed=fault.is_own)
            raise
        self.outcomes.add(failed=record.lost != lost_before or is_failure(reply.body))
        return reply


def is_own_error(body: bytes) -> bool:
    """Whether a `protocol.Response` tells of an error that no request is to blame for.

    One without an error does not have the field, which is the first.
    """
    return body[:1] == b"\x08" and protocol.http_status(protocol.Response.FromString(body).err_no) >= 500
