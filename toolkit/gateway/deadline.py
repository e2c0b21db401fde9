"""Until when a request must be answered."""

from __future__ import annotations

import time
from dataclasses import dataclass

from toolkit.gateway.faults import BadRequest

HEADER = "x-timeout-ms"


@dataclass(frozen=True)
class Deadline:
    """A point on the monotonic clock, in seconds."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds left; not above zero once it has passed."""
        return self.at - time.monotonic()


def from_header(text: str | None, limit: float) -> Deadline:
    """The deadline of an HTTP request: what `X-Timeout-Ms` asks for, at most `limit` seconds.

    Raises:
        BadRequest: the header is not a positive whole number.
    """
    if text is None:
        return Deadline.after(limit)
    if not (text.isascii() and text.isdigit() and text.strip("0")):
        raise BadRequest(f"X-Timeout-Ms is {text!r}", "send a positive whole number of milliseconds")
    # A number too long for a float is above the limit anyhow.
    return Deadline.after(limit if len(text) > 12 else min(limit, int(text) / 1000))
