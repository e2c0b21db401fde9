"""Which release answers a request: the one that served when it came, and the same for all that it asks.

A release on trial gets a share of the predictions. One that it fails is answered by the release that serves: a bad one
costs clients time, and no answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from toolkit.gateway import access
from toolkit.gateway.access import Record
from toolkit.gateway.catalog import Catalog
from toolkit.gateway.deadline import Deadline
from toolkit.gateway.desk import Desk
from toolkit.gateway.faults import Fault, NotReady, Overloaded, Poison
from toolkit.gateway.frontdesk import FrontDesk, is_own_error
from toolkit.gateway.options import GatewayOptions

Answer = TypeVar("Answer")

_WHOLE = 100.0

# Of the time until its deadline, what a request may spend with a release on canary.
_SHARE = 0.5


class Reception:
    """Implements `Desk` by the desk that the request at hand began with; for one event loop.

    So `shift` sends new requests to another release in one step, and those under way meet nothing of it: limits,
    names, tensors and replicas are of one release from the first look to the answer.
    """

    def __init__(self) -> None:
        self._desk: Desk | None = None
        self._canary: FrontDesk | None = None
        self._percent = self._due = 0.0

    def shift(self, desk: Desk) -> None:
        """Have requests that come from now on answered by `desk`."""
        self._desk = desk
        self.split(None)

    def split(self, desk: FrontDesk | None, percent: float = 0.0) -> None:
        """Give `desk` this share of the predictions, exactly, in the place of the one that serves; None: no share."""
        self._canary, self._percent = desk, percent

    @property
    def serving(self) -> Desk | None:
        """What new requests come to; the one at hand need not."""
        return self._desk

    @property
    def _mine(self) -> Desk:
        record = access.current()
        if record.desk is None:
            if self._desk is None:
                raise NotReady.starting()
            _give(record, self._desk)
        assert record.desk is not None
        return record.desk

    @property
    def _told(self) -> Desk:
        """Whose limits, names and tensors the request at hand sees."""
        return access.current().instead or self._mine

    @property
    def options(self) -> GatewayOptions:
        """See `Desk.options`; with a release on trial those of the one that serves, which may have to answer."""
        return self._told.options

    @property
    def catalog(self) -> Catalog:
        """See `Desk.catalog`; with a release on trial that of the one that serves, which may have to answer."""
        return self._told.catalog

    @property
    def ready(self) -> bool:
        """See `Desk.ready`; of the desk that requests come to now, whichever the one at hand belongs to."""
        return self._desk is not None and self._desk.ready

    @contextmanager
    def slot(self) -> Iterator[None]:
        """See `Desk.slot`."""
        mine = self._mine
        with ExitStack() as stack:
            if not self._is_for_canary(mine, stack):
                stack.enter_context(mine.slot())
            yield

    def _is_for_canary(self, mine: Desk, stack: ExitStack) -> bool:
        """Whether it is the turn of the release on trial, and it has a place; the request has that then."""
        canary = self._canary
        if canary is None or mine is not self._desk:
            return False
        self._due += self._percent
        if self._due < _WHOLE:
            return False
        self._due -= _WHOLE
        try:
            stack.enter_context(canary.slot())
        except NotReady:
            canary.outcomes.add(failed=True)
            return False
        except Overloaded:
            return False
        record = access.current()
        record.instead = mine
        _give(record, canary)
        return True

    async def predict(self, content: bytes, deadline: Deadline) -> str:
        """See `Desk.predict`."""
        return await self._ask(lambda desk, until: desk.predict(content, until), deadline)

    async def pipeline(self, request: bytes, deadline: Deadline) -> bytes:
        """See `Desk.pipeline`."""
        return await self._ask(lambda desk, until: desk.pipeline(request, until), deadline, is_own_error)

    async def infer(self, request: bytes, deadline: Deadline) -> bytes:
        """See `Desk.infer`."""
        # That a release on trial has no such model or tensor is its failure, not the client's.
        return await self._ask(
            lambda desk, until: desk.infer(request, until), deadline, is_own=lambda fault: True
        )

    async def _ask(
        self,
        ask: Callable[[Desk, Deadline], Awaitable[Answer]],
        deadline: Deadline,
        is_failure: Callable[[Answer], bool] = lambda answer: False,
        is_own: Callable[[Fault], bool] = lambda fault: fault.is_own,
    ) -> Answer:
        """What the request's desk answers; where that is on trial and fails, what the one that serves does."""
        mine, record, canary = self._mine, access.current(), self._canary
        if record.instead is None:
            return await ask(mine, deadline)
        try:
            answer = await ask(mine, Deadline.after(deadline.remaining * _SHARE))
            if not is_failure(answer):
                return answer
        except Poison:
            raise
        except Fault as fault:
            if not is_own(fault):
                raise
        # Whoever serves by now: what was on trial may, and the other one be ended.
        record.instead = None
        _give(record, self._desk or mine)
        try:
            answer = await ask(self._mine, deadline)
        except Fault as fault:
            if fault.is_own and canary is mine:
                canary.outcomes.excuse()
            raise
        if is_failure(answer) and canary is mine:
            canary.outcomes.excuse()
        return answer


def _give(record: Record, desk: Desk) -> None:
    """From now on the request belongs to `desk`."""
    record.desk = desk
    record.pipeline = desk.catalog.pipeline.name
    record.release, record.variant = desk.catalog.release, desk.catalog.variant
