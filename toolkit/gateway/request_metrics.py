"""What is counted of requests, whatever they ask for; docs/metrics.md is the reference."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import grpc
from prometheus_client import CollectorRegistry

from toolkit.gateway.tally import Counter, Histogram, Series

OTHER = "other"
HTTP_PROTOCOLS = ("http", "paddle_http", "oip_http")
GRPC_PROTOCOLS = ("grpc", "paddle_grpc", "oip_grpc")
HTTP_CODES = (
    "200",
    "400",
    "401",
    "404",
    "405",
    "408",
    "413",
    "415",
    "422",
    "429",
    "499",
    "500",
    "503",
    "504",
)
GRPC_CODES = tuple(code.name for code in grpc.StatusCode)

# Why a request was turned down, by the HTTP status that says so; see `faults.py`.
REASONS: Mapping[int, str] = {
    401: "unauthenticated",
    408: "deadline",
    413: "too_large",
    429: "queue_full",
    503: "not_ready",
    504: "deadline",
}

# Close to each other where requests for whole images end up.
SECONDS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75),
    *(1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0),
)
# Nothing that is counted here takes longer; what claims to is no time.
_LONGEST = 86_400.0


class RequestMetrics:
    """Requests to one pipeline, or to none that is served; for one event loop.

    Attributes:
        registry: what is counted.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            registry,
            "serving_requests",
            "Requests that were answered, refused ones among them.",
            ("protocol", "code"),
            [*product(HTTP_PROTOCOLS, (*HTTP_CODES, OTHER)), *product(GRPC_PROTOCOLS, (*GRPC_CODES, OTHER))],
        )
        self._seconds = Histogram(
            registry,
            "serving_request_duration_seconds",
            "Time from a request's arrival to the end of its answer.",
            SECONDS,
            ("protocol",),
            [(name,) for name in (*HTTP_PROTOCOLS, *GRPC_PROTOCOLS)],
        )
        self._rejected = Counter(
            registry,
            "serving_requests_rejected",
            "Requests that the service turned down.",
            ("reason",),
            [(reason,) for reason in dict.fromkeys(REASONS.values())],
        )

    def request(self, protocol: str, code: str, seconds: float) -> None:
        """A request came to its end.

        Args:
            protocol: one of `HTTP_PROTOCOLS` and `GRPC_PROTOCOLS`.
            code: HTTP status, or name of gRPC's.
        """
        if (protocol, code) in self._requests:
            self._requests.add(protocol, code)
        else:
            known = protocol in HTTP_PROTOCOLS or protocol in GRPC_PROTOCOLS
            protocol = protocol if known else OTHER
            self._requests.add(protocol, OTHER)
        observe(self._seconds.at(protocol), seconds)

    def refused(self, status: int) -> None:
        """Count a request as rejected if `status`, of HTTP or of a `Fault`, says that it was."""
        reason = REASONS.get(status)
        if reason is not None:
            self._rejected.add(reason)


def observe(series: Series, value: object) -> None:
    """Add a value if it is one: another process says it, and one NaN in a sum would stay there."""
    if (type(value) is float or type(value) is int) and 0 <= value <= _LONGEST:
        series.observe(value)
