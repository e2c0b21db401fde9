"""Asking a service over plain HTTP, and what came of it: an answer, or the way in which there was none."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any

PATH = "/predict/ocr"

HEADERS = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True)
class Answer:
    """
    Attributes:
        status: of HTTP; 0: there was no answer.
        problem: why there was none: the name of an exception.
        seconds: that it took.
    """

    status: int
    body: bytes = b""
    problem: str = ""
    seconds: float = 0.0

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def kind(self) -> str:
        """In a word: the status, or why there is none."""
        return str(self.status) if self.status else self.problem


class Caller:
    """A connection that is kept open from one request to the next, and opened anew after one that failed."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=timeout)

    def request(self, method: str, path: str, body: bytes | None = None) -> Answer:
        began = time.monotonic()
        try:
            self._connection.request(method, path, body, HEADERS if body is not None else {})
            response = self._connection.getresponse()
            return Answer(response.status, response.read(), seconds=time.monotonic() - began)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return Answer(0, problem=type(error).__name__, seconds=time.monotonic() - began)

    def close(self) -> None:
        self._connection.close()


def once(host: str, port: int, image: bytes, timeout: float = 60) -> Answer:
    """A prediction, on a connection of its own."""
    return _once(host, port, "POST", PATH, image, timeout)


def get(host: str, port: int, path: str, timeout: float = 20) -> Answer:
    """A page, on a connection of its own."""
    return _once(host, port, "GET", path, None, timeout)


def _once(host: str, port: int, method: str, path: str, body: bytes | None, timeout: float) -> Answer:
    caller = Caller(host, port, timeout)
    try:
        return caller.request(method, path, body)
    finally:
        caller.close()
