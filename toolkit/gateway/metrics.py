"""The metrics of a pipeline, in a registry of its own; docs/metrics.md is their reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from toolkit.gateway.catalog import Catalog
from toolkit.gateway.replica_metrics import ReplicaCollector
from toolkit.gateway.request_metrics import SECONDS, RequestMetrics, observe
from toolkit.gateway.status import ReplicaStatus
from toolkit.gateway.tally import Counter, Histogram, Series

SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)

# What became of a rollout: it serves; it failed before it served; it served, and was taken back; it failed on trial.
ROLLOUTS = ("success", "failed", "reverted", "canary_failed")

MEASUREMENTS = ("errors", "latency", "answers")
RESULTS = ("success", "failure", "inconclusive")
MIRRORED = ("compared", "failed", "dropped")

# Batches of one request that are looked at.
_BATCHES = 1000


class Metrics(RequestMetrics):
    """All that is counted and measured of a pipeline; for one event loop.

    Args:
        replicas, in_flight, queued, ready: asked at each scrape; must not block.
    """

    def __init__(
        self,
        replicas: Callable[[], Sequence[ReplicaStatus]],
        in_flight: Callable[[], int],
        queued: Callable[[], int],
        ready: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._whole = _Whole(self.registry, ready, in_flight, queued)
        self._count_events(self.registry)
        self._time_stages(self.registry)
        self._compare_releases(self.registry)
        ReplicaCollector(self.registry, replicas)

    def _count_events(self, registry: CollectorRegistry) -> None:
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
        self._whole.catalog = catalog
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

    def timings(self, queue_seconds: float, timings: object) -> None:
        """A replica answered.

        Args:
            queue_seconds: that the request waited for it.
            timings: `toolkit-timings` as another process sent it; what is missing or makes no sense is left out.
        """
        observe(self._queue, queue_seconds)
        if not isinstance(timings, Mapping):
            return
        observe(self._total, timings.get("total"))
        stages, batches = timings.get("stages"), timings.get("batches")
        if isinstance(stages, dict):
            for name, series in self._stages.items():
                observe(series, stages.get(name))
        if isinstance(batches, dict):
            for model, series in self._batches.items():
                sizes = batches.get(model)
                for size in sizes[:_BATCHES] if isinstance(sizes, list) else ():
                    observe(series, size)

    def retried(self) -> None:
        """A request goes to a second replica."""
        self._retried.add()

    def poisoned(self) -> None:
        """A request took two replicas down."""
        self._poisoned.add()


class _Whole(Collector):
    """The pipeline as a whole, asked at each scrape."""

    def __init__(
        self,
        registry: CollectorRegistry,
        ready: Callable[[], bool],
        in_flight: Callable[[], int],
        queued: Callable[[], int],
    ) -> None:
        self.catalog = Catalog()
        self._ready, self._in_flight, self._queued = ready, in_flight, queued
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
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
