"""What `GET /metrics` says: the metrics of each pipeline that is served, under its name, and those of the process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import InfoMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from toolkit.gateway.metrics import Metrics
from toolkit.gateway.request_metrics import RequestMetrics

# The label that says which pipeline; empty for requests that ask for none that is served.
PIPELINE = "pipeline"


class Exposition:
    """For one event loop.

    Args:
        version: of the toolkit.
    """

    def __init__(self, version: str) -> None:
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        _Build(self._process, version)
        self._nowhere = RequestMetrics()
        self._pipelines: dict[str, Metrics] = {}

    def add(self, pipeline: str, metrics: Metrics) -> None:
        """Tell of that pipeline from now on."""
        self._pipelines[pipeline] = metrics

    def remove(self, pipeline: str) -> None:
        """Tell of it no more."""
        self._pipelines.pop(pipeline, None)

    def of(self, pipeline: str) -> RequestMetrics:
        """Where a request to `pipeline` is counted, which need not be served."""
        return self._pipelines.get(pipeline, self._nowhere)

    def render(self, accept: str) -> tuple[bytes, str]:
        """All metrics, and the content type that they are in.

        Args:
            accept: HTTP's header of that name: OpenMetrics to those who ask for it, else Prometheus' text format.
        """
        if _prefers_openmetrics(accept):
            content: bytes = openmetrics.generate_latest(self)  # type: ignore[no-untyped-call]
            return content, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self), CONTENT_TYPE_PLAIN_0_0_4

    def collect(self) -> Iterator[Metric]:
        """Each metric once, as both formats want it, with the samples of all pipelines."""
        told: dict[str, Metric] = {}
        for pipeline, metrics in chain([("", self._nowhere)], self._pipelines.items()):
            for family in metrics.registry.collect():
                whole = told.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type, family.unit)
                )
                whole.samples += [
                    sample._replace(labels={**sample.labels, PIPELINE: pipeline}) for sample in family.samples
                ]
        return chain(self._process.collect(), told.values())


class _Build(Collector):
    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        self._version = version
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        build = InfoMetricFamily("serving_build", "Version of the toolkit.")
        build.add_metric((), {"version": self._version})
        yield build


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
