"""Why the front door turns a request down, and how each protocol says so."""

from __future__ import annotations

from typing import ClassVar

import grpc


class Fault(Exception):
    """A request that gets no prediction.

    Attributes:
        status: HTTP status.
        code: gRPC status.
        headers: HTTP headers that belong to the answer.
    """

    status: ClassVar[int] = 500
    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class BadRequest(Fault):
    """The request is not what the protocol asks for, or its image is not one."""

    status = 400
    code = grpc.StatusCode.INVALID_ARGUMENT


class UnknownModel(Fault):
    """No such model here."""

    status = 404
    code = grpc.StatusCode.NOT_FOUND


class BodyTooSlow(Fault):
    """The body did not arrive before the deadline."""

    status = 408
    code = grpc.StatusCode.DEADLINE_EXCEEDED


class TooLarge(Fault):
    """More bytes, or more pixels, than allowed."""

    status = 413
    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class WrongContentType(Fault):
    """The body says that it is something else than JSON."""

    status = 415
    code = grpc.StatusCode.INVALID_ARGUMENT


class Overloaded(Fault):
    """As many requests as allowed are under way."""

    status = 429
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}


class Disconnected(Fault):
    """The client went away; nobody reads the answer. 499 is for the access log only."""

    status = 499
    code = grpc.StatusCode.CANCELLED


class ReplicaFault(Fault):
    """The replica failed at this request."""


class NotReady(Fault):
    """The service is starting, stopping, or its replica does not answer."""

    status = 503
    code = grpc.StatusCode.UNAVAILABLE
    headers: ClassVar[dict[str, str]] = {"Retry-After": "1"}


class DeadlineExceeded(Fault):
    """No answer from the replica before the deadline."""

    status = 504
    code = grpc.StatusCode.DEADLINE_EXCEEDED
