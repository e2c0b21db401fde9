"""Why the front door turns a request down, and how each protocol says so."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
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
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    @property
    def is_own(self) -> bool:
        """Whether it is the service's doing, not the request's."""
        return self.status >= 500


class BadRequest(Fault):
    """The request is not what the protocol asks for, or its image is not one."""

    status = 400
    code = grpc.StatusCode.INVALID_ARGUMENT


class Unauthenticated(Fault):
    """The request has no API key, or not one of ours."""

    status = 401
    code = grpc.StatusCode.UNAUTHENTICATED
    headers: Mapping[str, str] = MappingProxyType({"WWW-Authenticate": "Bearer"})


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


class Unprocessable(Fault):
    """The request is as it should be, but its content cannot be worked on: not an image, or too much in it."""

    status = 422
    code = grpc.StatusCode.INVALID_ARGUMENT


class Overloaded(Fault):
    """As many requests as allowed are under way.

    Args:
        retry_after: seconds after which it is worth to come again.
    """

    status = 429
    code = grpc.StatusCode.RESOURCE_EXHAUSTED

    def __init__(self, message: str, remedy: str, retry_after: int = 1) -> None:
        super().__init__(message, remedy)
        self.headers = {"Retry-After": str(retry_after)}


class Disconnected(Fault):
    """The client went away; nobody reads the answer. 499 is for the access log only."""

    status = 499
    code = grpc.StatusCode.CANCELLED


class Poison(Fault):
    """The request ended two replicas."""


class ReplicaFault(Fault):
    """The replica failed at this request."""


class NotReady(Fault):
    """The service is starting, stopping, or its replica does not answer."""

    status = 503
    code = grpc.StatusCode.UNAVAILABLE
    headers: Mapping[str, str] = MappingProxyType({"Retry-After": "1"})

    @classmethod
    def starting(cls) -> NotReady:
        """Nothing is served yet."""
        return cls("the service is starting", "try again in a moment; /readyz says when it is")


class DeadlineExceeded(Fault):
    """No answer from the replica before the deadline."""

    status = 504
    code = grpc.StatusCode.DEADLINE_EXCEEDED
