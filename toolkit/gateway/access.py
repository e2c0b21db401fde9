"""What is known of a request while it is under way, and the line of the access log that is left of it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from toolkit.gateway.trace import Trace, continued

if TYPE_CHECKING:
    from toolkit.gateway.desk import Desk

# Its lines are JSON objects; the service sends them to a file of their own.
LOGGER = "toolkit.access"

logger = logging.getLogger(LOGGER)


@dataclass
class Record:
    """One request.

    Attributes:
        protocol: `http`, `grpc`, `paddle_http`, `paddle_grpc`, `oip_http` or `oip_grpc`.
        method: of HTTP, or `gRPC`.
        path: as asked for, without the query.
        request_id, trace: see `trace.py`.
        client: address of the caller.
        key: name of the API key, if keys are asked for.
        desk: of the release that the request belongs to; None: it has not asked yet.
        instead: the desk that answers if the one that the request was given to on trial cannot; None: it was not.
        lost: whether a replica went away that had it.
        pipeline: what it asks for; empty: nothing that is served.
        release, variant: the names of the release that it belongs to; see `Catalog`.
        replica: who answered; None: nobody.
        attempts: replicas that it was given to.
        queue_seconds: time that it waited for them.
        timings: what the replica says of its own time.
        error: why it got no prediction.
    """

    protocol: str
    method: str
    path: str
    request_id: str
    trace: Trace
    client: str = ""
    key: str = ""
    desk: Desk | None = None
    instead: Desk | None = None
    lost: bool = False
    pipeline: str = ""
    release: str = ""
    variant: str = ""
    replica: int | None = None
    attempts: int = 0
    queue_seconds: float = 0.0
    timings: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Since its arrival."""
        return time.monotonic() - self.began

    def log(self, status: object, size: int) -> None:
        """Write the line.

        Args:
            status: of HTTP, or gRPC's code.
            size: bytes of the answer's body.
        """
        line = {
            "time": _utc(time.time_ns()),
            "protocol": self.protocol,
            "method": self.method,
            "path": self.path,
            "status": status,
            "ms": round(self.seconds * 1000, 2),
            "queue_ms": round(self.queue_seconds * 1000, 2),
            "replica_ms": _milliseconds(self.timings.get("total")),
            "bytes": size,
            "pipeline": self.pipeline or None,
            "release": self.release or None,
            "variant": self.variant or None,
            "replica": self.replica,
            "attempts": self.attempts,
            "request_id": self.request_id,
            "trace_id": self.trace.trace_id,
            "span_id": self.trace.span_id,
            "parent_id": self.trace.parent_id or None,
            "client": self.client,
            "key": self.key or None,
            "error": self.error or None,
        }
        logger.info("%s", json.dumps({name: value for name, value in line.items() if value is not None}))


def _utc(nanoseconds: int) -> str:
    """A time since 1970, as RFC 3339 has it, with milliseconds."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 10**6:03d}Z"


def _milliseconds(seconds: object) -> float | None:
    return round(seconds * 1000, 2) if isinstance(seconds, (int, float)) else None


_current: ContextVar[Record | None] = ContextVar("record", default=None)


def begin(record: Record) -> None:
    """From here on `record` is the request that this task, and those that it starts, work on."""
    _current.set(record)


def current() -> Record:
    """The request at hand; one that nobody asks for outside of any."""
    return _current.get() or Record("", "", "", "", continued(None))
