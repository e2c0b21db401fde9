"""What can go wrong when a program asks the service, by what the program can do about it."""

from __future__ import annotations


class ClientError(Exception):
    """The service gave no prediction.

    Attributes:
        message: what the service, or the transport to it, said.
        status: the HTTP status that says the same; gRPC failures carry the status they correspond to.
    """

    default_status = 500

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = self.default_status if status is None else status

    def __str__(self) -> str:
        return f"{self.message} (status {self.status})"


class BadRequest(ClientError):
    """The request is wrong, sending it again will not help.

    Status 400: it is malformed. Status 422: its content cannot be worked on, as what is not an image, or a damaged one.
    """

    default_status = 400


class Unauthenticated(ClientError):
    """The service asks for an API key, and got none that it knows."""

    default_status = 401


class NotFound(ClientError):
    """The service has no model, or no path, of that name."""

    default_status = 404


class TooLarge(ClientError):
    """The request has more bytes, or its image more pixels, than the service accepts."""

    default_status = 413


class Unavailable(ClientError):
    """Nobody answers, the service is not ready, or it is full (status 429); later it may be.

    Attributes:
        retry_after: seconds after which the service says that it is worth to come again; None if it says nothing.
    """

    default_status = 503

    def __init__(self, message: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, status)
        self.retry_after = retry_after


class DeadlineExceeded(ClientError):
    """No answer within the timeout."""

    default_status = 504


class ServerFault(ClientError):
    """The service failed, or answered something that is not a prediction."""

    default_status = 500


_BY_STATUS: dict[int, type[ClientError]] = {
    401: Unauthenticated,
    404: NotFound,
    408: DeadlineExceeded,
    413: TooLarge,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}


def from_status(status: int, message: str, retry_after: str | None = None) -> ClientError:
    """The error that an HTTP status stands for: 4xx that has no class of its own is `BadRequest`.

    Args:
        retry_after: as the service wrote it.
    """
    fallback = BadRequest if 400 <= status < 500 else ServerFault
    kind = _BY_STATUS.get(status, fallback)
    if issubclass(kind, Unavailable):
        return kind(message, status, seconds(retry_after))
    return kind(message, status)


def seconds(retry_after: str | None) -> float | None:
    """What a `Retry-After` says in seconds; None for a date, which our service does not write."""
    text = (retry_after or "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
