"""What every protocol's handlers are given: one way in, whatever the protocol."""

from __future__ import annotations

from contextlib import AbstractContextManager

from typing_extensions import Protocol

from toolkit.gateway.catalog import Catalog
from toolkit.gateway.deadline import Deadline
from toolkit.gateway.options import GatewayOptions


class Desk(Protocol):
    """Takes requests in, limits them and has a replica answer."""

    @property
    def options(self) -> GatewayOptions:
        """Limits among them."""

    @property
    def catalog(self) -> Catalog:
        """The names that can be asked for."""

    @property
    def ready(self) -> bool:
        """Whether a replica answered a golden inference rightly of late."""

    def slot(self) -> AbstractContextManager[None]:
        """Hold one of the places; to be taken before a body is read, so that the limit bounds memory too.

        Raises:
            NotReady: no replica can answer.
            Overloaded: no place is free.
        """

    async def predict(self, content: bytes, deadline: Deadline) -> str:
        """The pipeline's answer to what it works on, the bytes of a file: the text of a JSON object.

        Raises:
            Fault: one of its subclasses.
        """

    async def pipeline(self, request: bytes, deadline: Deadline) -> bytes:
        """Paddle Serving's own protocol: a serialized Request in, a serialized Response out, errors within it.

        Raises:
            Fault: the request never got an answer of the replica.
        """

    async def infer(self, request: bytes, deadline: Deadline) -> bytes:
        """A single model: a serialized ModelInferRequest of the Open Inference Protocol in, ModelInferResponse out.

        Raises:
            Fault: one of its subclasses.
        """
