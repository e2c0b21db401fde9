"""Metrics of a service that is not there: its parts say what a test tells them to."""

from __future__ import annotations

from typing import Any

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from toolkit.gateway.catalog import Catalog, ModelInfo
from toolkit.gateway.exposition import Exposition
from toolkit.gateway.metrics import Metrics
from toolkit.gateway.status import READY, ReplicaStatus

CATALOG = Catalog(
    (
        ModelInfo("ocr", "pipeline", (), (), digest="5e2f"),
        ModelInfo("ocr.det", "model", (), (), "int8", "b31c", "pass"),
        ModelInfo("ocr.rec", "model", (), (), "bf16", "979e", "inconclusive"),
    )
)
REPLICA = ReplicaStatus(
    0,
    READY,
    pid=12,
    restarts=(("exit", 2),),
    memory_bytes=700_000_000,
    memory_limit_bytes=1_000_000_000,
    cpu_seconds=12.5,
    in_flight=1,
    golden_age=3.25,
)
TIMINGS: dict[str, Any] = {
    "stages": {
        "decode": 0.01,
        **{f"{model}.preprocess": 0.004 for model in ("det", "rec")},
        **{f"{model}.inference": 0.1 for model in ("det", "rec")},
        **{f"{model}.postprocess": 0.007 for model in ("det", "rec")},
    },
    "batches": {"det": [1], "rec": [6, 6, 3]},
    "total": 0.25,
}


class Service:
    """Metrics of a service whose parts say what they are told to."""

    def __init__(self, *replicas: ReplicaStatus, **options: Any) -> None:
        self.replicas = replicas
        self.in_flight, self.queued = 0, 0
        self.metrics = Metrics(
            lambda: self.replicas,
            lambda: self.in_flight,
            lambda: self.queued,
            **{"ready": lambda: True, **options},
        )
        self.metrics.serve(CATALOG)
        self.exposition = Exposition("1.2.3")
        self.exposition.add("ocr", self.metrics)

    def families(self) -> dict[str, Metric]:
        return {
            family.name: family
            for family in text_string_to_metric_families(self.exposition.render("")[0].decode())
        }

    def value(self, name: str, **labels: str) -> float | None:
        """The sample with exactly these labels, but for the pipeline; empty ones are none, as to Prometheus."""
        found = [
            sample
            for family in self.families().values()
            for sample in family.samples
            if sample.name == name and _told(sample.labels) == labels
        ]
        mine = [sample for sample in found if sample.labels.get("pipeline")] or found
        assert len(mine) < 2
        return mine[0].value if mine else None


def _told(labels: dict[str, str]) -> dict[str, str]:
    return {key: text for key, text in labels.items() if text and key != "pipeline"}
