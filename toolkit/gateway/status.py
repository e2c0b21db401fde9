"""What the supervisor knows of a replica, as metrics, health checks and `toolkit status` show it."""

from __future__ import annotations

from dataclasses import dataclass

STARTING, READY, DRAINING, STANDBY, BACKOFF, CRASH_LOOP, STOPPED = (
    "starting",
    "ready",
    "draining",
    "standby",
    "backoff",
    "crash-loop",
    "stopped",
)
STATES = (STARTING, READY, DRAINING, STANDBY, BACKOFF, CRASH_LOOP, STOPPED)


@dataclass(frozen=True)
class ReplicaStatus:
    """
    Attributes:
        index: 0, 1, ...: the place that the replica fills; whoever replaces it has the same.
        state: one of `STATES`.
        pid: of its process; 0 where there is none.
        restarts: how often it was replaced, by reason; see `toolkit.supervisor.slot`.
        memory_bytes: resident set of its process.
        memory_limit_bytes: it is replaced beyond that; 0: no limit.
        cpu_seconds: of its process, user and system.
        in_flight: requests that it has.
        golden_age: seconds since a golden inference last succeeded; None: never.
        message: why it is not ready; empty where it is.
    """

    index: int
    state: str
    pid: int = 0
    restarts: tuple[tuple[str, int], ...] = ()
    memory_bytes: int = 0
    memory_limit_bytes: int = 0
    cpu_seconds: float = 0.0
    in_flight: int = 0
    golden_age: float | None = None
    message: str = ""
