"""The channel to one replica: serialized requests in, serialized responses out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from toolkit import mailbox
from toolkit.gateway.faults import BadRequest, Fault, ReplicaFault, UnknownModel
from toolkit.mailbox import Mailbox

_Metadata = tuple[tuple[str, str], ...]

# What the replica puts its timings under, see toolkit/serving/timing.py.
_TIMINGS = "toolkit-timings"

_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    # A replica that is starting is found within a moment; gRPC's own back-off grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)

# CANCELLED is what a replica that is being stopped answers to the requests it drops.
_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)

_FAULTS: Mapping[grpc.StatusCode, type[Fault]] = {
    grpc.StatusCode.INVALID_ARGUMENT: BadRequest,
    grpc.StatusCode.NOT_FOUND: UnknownModel,
}


# gRPC's words for a replica that was not there to begin with.
_NOT_REACHED = "failed to connect"


class Gone(Exception):
    """The replica went away, or is not there: nothing is known of the request.

    Attributes:
        reached: whether it was there when it was given the request.
    """

    def __init__(self, message: str, reached: bool = True) -> None:
        super().__init__(message)
        self.reached = reached


@dataclass(frozen=True)
class Reply:
    """What a replica answered, and where it says that the time went."""

    body: bytes
    timings: Mapping[str, Any] = field(default_factory=dict)


class Endpoint:
    """One replica, at a gRPC target; to be made and used within one event loop.

    Args:
        box: what large requests go through; closed with the channel. None: all go through the channel.

    Attributes:
        index: the place that the replica fills.
        in_flight: requests that it has and that clients may be waiting for.
        guests: requests that it has beside those, which nobody waits for.
        alone: whether the request that it has is to have no company.
        excused: whether it is ended for what need not be a request's doing: silence, which load makes too, or a wrong
            answer to a golden request.
    """

    def __init__(self, index: int, target: str, box: Mailbox | None = None) -> None:
        self.index = index
        self.in_flight = 0
        self.guests = 0
        self.alone = False
        self.excused = False
        self._closing = False
        self._box = box
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)

    async def call(
        self, path: str, request: bytes, timeout: float | None = None, wait: bool = False
    ) -> Reply:
        """Forward a serialized message.

        Args:
            path: of the gRPC method.
            timeout: seconds.
            wait: for a replica that is not there yet.

        Raises:
            Gone: it went away, or is not there.
            TimeoutError: no answer within `timeout`.
            Fault: it refused the request, or failed.
        """
        method: Any = self._channel.unary_unary(path, request_serializer=None, response_deserializer=None)
        try:
            with self._delivered(request) as (message, metadata):
                call = method(message, timeout=timeout, wait_for_ready=wait, metadata=metadata)
                body = bytes(await call)
                return Reply(body, _timings(await call.trailing_metadata()))
        except grpc.aio.AioRpcError as error:
            raise _translate(error) from error
        except asyncio.CancelledError:
            # A channel that is closed cancels its calls, which is no wish of the caller's.
            if self._closing:
                raise Gone("the replica was ended") from None
            raise

    @contextmanager
    def _delivered(self, request: bytes) -> Iterator[tuple[bytes, _Metadata]]:
        """The message and the metadata that bring `request` to the replica."""
        if self._box is None:
            yield request, ()
            return
        with self._box.holding(request) as place:
            yield (request, ()) if place is None else (b"", ((mailbox.KEY, place),))

    async def close(self) -> None:
        """Close the channel and end the calls on it."""
        self._closing = True
        await self._channel.close(None)
        if self._box is not None:
            self._box.close()


def _timings(metadata: Any) -> Mapping[str, Any]:
    for key, value in metadata or ():
        if key == _TIMINGS:
            found = json.loads(value)
            return found if isinstance(found, dict) else {}
    return {}


def _translate(error: grpc.aio.AioRpcError) -> Exception:
    if error.code() in _GONE:
        details = error.details() or ""
        return Gone(f"{error.code().name}: {details}", reached=_NOT_REACHED not in details)
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return TimeoutError("no answer in time")
    if error.code() in _FAULTS:
        return _FAULTS[error.code()](
            error.details() or error.code().name, "see the documentation of the model"
        )
    return ReplicaFault(
        f"the model server failed: {error.code().name}: {error.details()}", "see the log of the service"
    )
