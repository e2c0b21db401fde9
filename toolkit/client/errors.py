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
    """The request is wrong, sending it again will not help: not an image, broken base64, no such method."""

    default_status = 400


class NotFound(ClientError):
    """The service has no model, or no path, of that name."""

    default_status = 404


class TooLarge(ClientError):
    """The image has more bytes, or more pixels, than the service accepts."""

    default_status = 413


class Unavailable(ClientError):
    """Nobody answers, the service is not ready, or it is full (status 429); later it may be."""

    default_status = 503


class DeadlineExceeded(ClientError):
    """No answer within the timeout."""

    default_status = 504


class ServerFault(ClientError):
    """The service failed, or answered something that is not a prediction."""

    default_status = 500


_BY_STATUS: dict[int, type[ClientError]] = {
    404: NotFound,
    408: DeadlineExceeded,
    413: TooLarge,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}


def from_status(status: int, message: str) -> ClientError:
    """The error that an HTTP status stands for: 4xx that has no class of its own is `BadRequest`."""
    fallback = BadRequest if 400 <= status < 500 else ServerFault
    return _BY_STATUS.get(status, fallback)(message, status)
