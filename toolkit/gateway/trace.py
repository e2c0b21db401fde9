"""The identity of a request: the client's own where it has one, so that logs on both sides can be joined."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_REQUEST_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)


@dataclass(frozen=True)
class Trace:
    """A place in a trace.

    Attributes:
        trace_id, span_id: of this request here; 32 and 16 hexadecimal digits.
        parent_id: the caller's span; empty where it did not send one.
    """

    trace_id: str
    span_id: str
    parent_id: str = ""


def continued(traceparent: str | None) -> Trace:
    """The span of this request in the trace that the client sent, or in a new one if it sent none that is valid."""
    span = secrets.token_hex(8)
    found = _TRACEPARENT.fullmatch(traceparent.strip()) if traceparent else None
    if found is None:
        return Trace(secrets.token_hex(16), span)
    version, trace_id, parent, rest = found.groups()
    valid = version != "ff" and (version != "00" or not rest) and trace_id.strip("0") and parent.strip("0")
    return Trace(trace_id, span, parent) if valid else Trace(secrets.token_hex(16), span)


def request_id(text: str | None) -> str:
    """The client's `X-Request-Id` if it can stand in a log as it is, else a new one."""
    if text and _REQUEST_ID.fullmatch(text):
        return text
    return secrets.token_hex(8)
