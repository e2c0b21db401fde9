"""The metrics of a service, in a registry of its own; docs/metrics.md is their reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product

import grpc
from prometheus_client import CollectorRegistry, Gauge, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from toolkit.gateway.catalog import Catalog
from toolkit.gateway.replica_metrics import ReplicaCollector
from toolkit.gateway.status import ReplicaStatus
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
SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)

# What became of a rollout: it serves; it failed before it served; it served, and was taken back; it failed on trial.
ROLLOUTS = ("success", "failed", "reverted", "canary_failed")

MEASUREMENTS = ("errors", "latency", "answers")
RESULTS = ("success", "failure", "inconclusive")
MIRRORED = ("compared", "failed", "dropped")

# Nothing that is counted here takes longer; what claims to is no time.
_LONGEST = 86_400.0
# Batches of one request that are looked at.
_BATCHES = 1000


class Metrics:
    """All that `/metrics` says; for one event loop.

    Args:
        replicas, in_flight, queued, ready: asked at each scrape; must not block.
    """

    def __init__(
        self,
        replicas: Callable[[], Sequence[ReplicaStatus]],
        in_flight: Callable[[], int],
        queued: Callable[[], int],
        version: str,
        ready: Callable[[], bool],
    ) -> None:
        self._registry = registry = CollectorRegistry()
        self._service = _Service(registry, version, ready, in_flight, queued)
        self._count_requests(registry)
        self._time_stages(registry)
        self._compare_releases(registry)
        ReplicaCollector(registry, replicas)
        ProcessCollector(registry=registry)

    def _count_requests(self, registry: CollectorRegistry) -> None:
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
        self._retried = Counter(
            registry,
            "serving_requests_retried",
            "Requests that were given to a second replica, since the first one died or hung.",
        )
        self._poisoned = Counter(
            registry,
            "serving_requests_poisoned",
            "Requests that took two replicas down; when one comes again, it is refused and not counted here.",
        )
        self._rollouts = Counter(
            registry,
            "serving_rollouts",
            "Releases or variants that were put in the place of what served.",
            ("result",),
            [(result,) for result in ROLLOUTS],
        )

    def _compare_releases(self, registry: CollectorRegistry) -> None:
        self._analyses = Counter(
            registry,
            "serving_canary_analyses",
            "Measurements of a release on trial, and of what the watch found amiss.",
            ("measurement", "result"),
            product(MEASUREMENTS, RESULTS),
        )
        self._mirrored = Counter(
            registry,
            "serving_mirrored",
            "Requests that a second release was to be asked, too.",
            ("result",),
            [(result,) for result in MIRRORED],
        )
        self._canary_share = Gauge(
            "serving_canary_ratio", "Share of the requests that a release on trial gets.", registry=registry
        )
        self._disagreement = Gauge(
            "serving_disagreement_ratio",
            "How much the answers of two releases, or of a release and its FP32 models, differ.",
            registry=registry,
        )
        self._latency_ratio = Gauge(
            "serving_latency_ratio",
            "A release on trial takes so many times as long as what serves, in the median.",
            registry=registry,
        )

    def _time_stages(self, registry: CollectorRegistry) -> None:
        self._stage_seconds = Histogram(
            registry,
            "serving_stage_duration_seconds",
            "Time that a request spent in a stage, all its batches together.",
            SECONDS,
            ("stage", "model"),
            [("queue", ""), ("decode", ""), ("total", "")],
        )
        self._batch_size = Histogram(
            registry,
            "serving_batch_size",
            "Samples in one inference of a model.",
            SIZES,
            ("model",),
            [],
        )
        self._queue, self._total = self._stage_seconds.at("queue", ""), self._stage_seconds.at("total", "")
        self._stages = {"decode": self._stage_seconds.at("decode", "")}
        self._batches: dict[str, Series] = {}

    def serve(self, catalog: Catalog) -> None:
        """From now on this is what is served; what was served before may still be finishing requests."""
        self._service.catalog = catalog
        for model in _step_names(catalog):
            self._batches[model] = self._batch_size.at(model)
            for stage in ("preprocess", "inference", "postprocess"):
                self._stages[f"{model}.{stage}"] = self._stage_seconds.at(stage, model)

    def rolled_out(self, result: str) -> None:
        """A rollout has ended with one of `ROLLOUTS`."""
        self._rollouts.add(result)

    def analysed(self, measurement: str, result: str) -> None:
        """One of `MEASUREMENTS` had one of `RESULTS`."""
        self._analyses.add(measurement, result)

    def mirrored(self, result: str) -> None:
        """A second release was to be asked, with one of `MIRRORED`."""
        self._mirrored.add(result)

    def canary_weight(self, percent: float) -> None:
        """A release on trial has this share of the requests."""
        self._canary_share.set(percent / 100)

    def disagreement(self, rate: float) -> None:
        """The answers of two releases differ by this, 0..1."""
        self._disagreement.set(rate)

    def latency_ratio(self, ratio: float) -> None:
        """A release on trial takes so many times as long as what serves."""
        self._latency_ratio.set(ratio)

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
        _observe(self._seconds.at(protocol), seconds)

    def timings(self, queue_seconds: float, timings: object) -> None:
        """A replica answered.

        Args:
            queue_seconds: that the request waited for it.
            timings: `toolkit-timings` as another process sent it; what is missing or makes no sense is left out.
        """
        _observe(self._queue, queue_seconds)
        if not isinstance(timings, Mapping):
            return
        _observe(self._total, timings.get("total"))
        stages, batches = timings.get("stages"), timings.get("batches")
        if isinstance(stages, dict):
            for name, series in self._stages.items():
                _observe(series, stages.get(name))
        if isinstance(batches, dict):
            for model, series in self._batches.items():
                sizes = batches.get(model)
                for size in sizes[:_BATCHES] if isinstance(sizes, list) else ():
                    _observe(series, size)

    def retried(self) -> None:
        """A request goes to a second replica."""
        self._retried.add()

    def poisoned(self) -> None:
        """A request took two replicas down."""
        self._poisoned.add()

    def refused(self, status: int) -> None:
        """Count a request as rejected if `status`, of HTTP or of a `Fault`, says that it was."""
        reason = REASONS.get(status)
        if reason is not None:
            self._rejected.add(reason)

    def render(self, accept: str) -> tuple[bytes, str]:
        """All metrics, and the content type that they are in.

        Args:
            accept: HTTP's header of that name: OpenMetrics to those who ask for it, else Prometheus' text format.
        """
        if _prefers_openmetrics(accept):
            content: bytes = openmetrics.generate_latest(self._registry)  # type: ignore[no-untyped-call]
            return content, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4


class _Service(Collector):
    """The service as a whole, asked at each scrape."""

    def __init__(
        self,
        registry: CollectorRegistry,
        version: str,
        ready: Callable[[], bool],
        in_flight: Callable[[], int],
        queued: Callable[[], int],
    ) -> None:
        self.catalog = Catalog()
        self._version = version
        self._ready, self._in_flight, self._queued = ready, in_flight, queued
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        build = InfoMetricFamily("serving_build", "Version of the toolkit.")
        build.add_metric((), {"version": self._version})
        yield build
        yield GaugeMetricFamily("serving_ready", "1 while requests are taken.", value=float(self._ready()))
        yield GaugeMetricFamily(
            "serving_in_flight",
            "Requests that hold a place, waiting ones among them.",
            value=self._in_flight(),
        )
        yield GaugeMetricFamily("serving_queued", "Requests that wait for a replica.", value=self._queued())
        yield self._models()
        yield self._release()

    def _models(self) -> Metric:
        family = InfoMetricFamily("serving_model", "What is served, and what the gate said.")
        for model in self.catalog.models:
            facts = {"precision": model.precision, "digest": model.digest, "verdict": model.verdict}
            family.add_metric((), {"model": _short(model.name, self.catalog), **facts})
        return family

    def _release(self) -> Metric:
        family = InfoMetricFamily("serving_release", "The release that takes new requests.")
        family.add_metric((), {"release": self.catalog.release, "variant": self.catalog.variant})
        return family


def _step_names(catalog: Catalog) -> list[str]:
    return [_short(model.name, catalog) for model in catalog.models if model.kind == "model"]


def _short(name: str, catalog: Catalog) -> str:
    """`det` of `ocr.det`: the name that the spec, timings and reports have for it."""
    return name.removeprefix(f"{catalog.pipeline.name}.")


def _observe(series: Series, value: object) -> None:
    """Add a value if it is one: another process says it, and one NaN in a sum would stay there."""
    if (type(value) is float or type(value) is int) and 0 <= value <= _LONGEST:
        series.observe(value)


def _prefers_openmetrics(accept: str) -> bool:
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for item in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in item.split(";"))
        if kind in weights:
            weights[kind] = max(weights[kind], _weight(parameters))
    return weights["application/openmetrics-text"] > 0 and (
        weights["application/openmetrics-text"] >= weights["text/plain"]
    )


def _weight(parameters: Sequence[str]) -> float:
    """https://www.rfc-editor.org/rfc/rfc9110#quality.values; what is malformed counts as not given."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 1.0
    return 1.0
