"""Which release answers a request: the one that served when it came, and the same for all that it asks."""

from __future__ import annotations

from contextlib import AbstractContextManager

from toolkit.gateway import access
from toolkit.gateway.catalog import Catalog
from toolkit.gateway.deadline import Deadline
from toolkit.gateway.desk import Desk
from toolkit.gateway.faults import NotReady
from toolkit.gateway.options import GatewayOptions


class Reception:
    """Implements `Desk` by the desk that the request at hand began with; for one event loop.

    So `shift` sends new requests to another release in one step, and those under way meet nothing of it: limits,
    names, tensors and replicas are of one release from the first look to the answer.
    """

    def __init__(self) -> None:
        self._desk: Desk | None = None

    def shift(self, desk: Desk) -> None:
        """Have requests that come from now on answered by `desk`."""
        self._desk = desk

    @property
    def _mine(self) -> Desk:
        record = access.current()
        if record.desk is None:
            if self._desk is None:
                raise NotReady("the service is starting", "try again in a moment; /readyz says when it is")
            record.desk = self._desk
            record.release, record.variant = self._desk.catalog.release, self._desk.catalog.variant
        return record.desk

    @property
    def options(self) -> GatewayOptions:
        """See `Desk.options`."""
        return self._mine.options

    @property
    def catalog(self) -> Catalog:
        """See `Desk.catalog`."""
        return self._mine.catalog

    @property
    def ready(self) -> bool:
        """See `Desk.ready`."""
        return self._desk is not None and self._mine.ready

    def slot(self) -> AbstractContextManager[None]:
        """See `Desk.slot`."""
        return self._mine.slot()

    async def predict(self, image: bytes, deadline: Deadline) -> str:
        """See `Desk.predict`."""
        return await self._mine.predict(image, deadline)

    async def pipeline(self, request: bytes, deadline: Deadline) -> bytes:
        """See `Desk.pipeline`."""
        return await self._mine.pipeline(request, deadline)

    async def infer(self, request: bytes, deadline: Deadline) -> bytes:
        """See `Desk.infer`."""
        return await self._mine.infer(request, deadline)
