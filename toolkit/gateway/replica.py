"""The channel to the replica: serialized requests in, serialized responses out."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio

from toolkit.client import protocol
from toolkit.gateway.faults import DeadlineExceeded, Fault, NotReady, ReplicaFault

_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    # A replica that was started again is found within a second; gRPC's own back-off grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)

# CANCELLED is what a replica that is being stopped answers to the requests it drops.
_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class Replica:
    """One replica, at a gRPC target; to be made and used within one event loop."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._inference: Any = self._channel.unary_unary(
            protocol.PATH, request_serializer=None, response_deserializer=None
        )

    async def inference(self, request: bytes, timeout: float) -> bytes:
        """Forward a serialized Request; cancelling this cancels it in the replica, if it has not begun.

        Args:
            timeout: seconds.

        Raises:
            NotReady: the replica is not there, or went away.
            DeadlineExceeded: it did not answer in time.
            ReplicaFault: it failed.
        """
        if timeout <= 0:
            raise _late()
        try:
            return bytes(await self._inference(request, timeout=timeout))
        except grpc.aio.AioRpcError as error:
            raise _translate(error) from error

    async def close(self) -> None:
        """Close the channel and end the calls on it."""
        await self._channel.close(None)


def _translate(error: grpc.aio.AioRpcError) -> Fault:
    if error.code() in _GONE:
        return NotReady("the model server does not answer", "try again in a moment; /readyz says when it can")
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return _late()
    return ReplicaFault(
        f"the model server failed: {error.code().name}: {error.details()}", "see the log of the service"
    )


def _late() -> Fault:
    return DeadlineExceeded("no answer before the deadline", "send a smaller image, or allow more time")
