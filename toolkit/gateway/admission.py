"""Who may come in: nobody while the service is not ready, and no more at once than it can hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable

from toolkit.gateway.faults import NotReady, Overloaded


class Admission:
    """Counts the requests under way over all protocols; for one event loop, so it needs no lock."""

    def __init__(self, limit: int, is_ready: Callable[[], bool]) -> None:
        self._limit = limit
        self._is_ready = is_ready
        self._in_flight = 0

    @property
    def ready(self) -> bool:
        """What the supervisor says."""
        return self._is_ready()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one of the places; taken before a body is read, so that the limit bounds memory too.

        Raises:
            NotReady: the supervisor says that the service cannot answer.
            Overloaded: no place is free.
        """
        if not self.ready:
            raise NotReady("the service is not ready", "try again in a moment; /readyz says when it is")
        if self._in_flight >= self._limit:
            raise Overloaded(
                f"{self._limit} requests are under way already", "try again later, or send fewer"
            )
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
