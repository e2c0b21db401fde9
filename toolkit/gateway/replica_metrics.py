"""The replicas as metrics: what their supervisor knows of them, asked at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from toolkit.gateway.status import STATES, ReplicaStatus

REASONS = ("exit", "hang", "golden", "memory", "swollen", "start")
OTHER = "other"


@dataclass
class _Processor:
    """Processor time of a place: of the process that fills it, and of those before."""

    pid: int = 0
    seconds: float = 0.0
    before: float = 0.0

    def update(self, pid: int, seconds: float) -> float:
        """Their sum, which never falls."""
        if pid != self.pid or seconds < self.seconds:
            self.before += self.seconds
        self.pid, self.seconds = pid, seconds
        return self.before + seconds


class ReplicaCollector(Collector):
    """One series for each place, whoever fills it.

    Processor time is added up over the processes of a place: a counter that falls is a reset to Prometheus, but one
    whose successor overtook it between two scrapes would be none. What a process used after the last scrape
    before its end is lost.
    """

    def __init__(self, registry: CollectorRegistry, replicas: Callable[[], Sequence[ReplicaStatus]]) -> None:
        self._replicas = replicas
        self._processors: dict[int, _Processor] = {}
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        replicas = self._replicas()
        yield self._state(replicas)
        yield self._restarts(replicas)
        yield self._processor(replicas)
        yield _gauge(
            "serving_replica_resident_memory_bytes",
            "Resident memory of the replica's process; 0 while there is none.",
            [(replica, replica.memory_bytes) for replica in replicas],
        )
        yield _gauge(
            "serving_replica_memory_limit_bytes",
            "Resident memory beyond which the replica is replaced; absent without a limit.",
            [(item, item.memory_limit_bytes) for item in replicas if item.memory_limit_bytes > 0],
        )
        yield _gauge(
            "serving_replica_golden_age_seconds",
            "Time since a golden inference last succeeded; absent until one has.",
            [(item, item.golden_age) for item in replicas if item.golden_age is not None],
        )
        yield _gauge(
            "serving_replica_in_flight",
            "Requests that the replica has.",
            [(replica, replica.in_flight) for replica in replicas],
        )

    def _state(self, replicas: Sequence[ReplicaStatus]) -> Metric:
        family = GaugeMetricFamily(
            "serving_replica_state", "1 for the state that the replica is in.", labels=("replica", "state")
        )
        for replica in replicas:
            for state in STATES:
                family.add_metric((str(replica.index), state), float(replica.state == state))
        return family

    def _restarts(self, replicas: Sequence[ReplicaStatus]) -> Metric:
        family = CounterMetricFamily(
            "serving_replica_restarts", "How often the replica was replaced.", labels=("replica", "reason")
        )
        for replica in replicas:
            counts = dict.fromkeys((*REASONS, OTHER), 0)
            for reason, count in replica.restarts:
                counts[reason if reason in counts else OTHER] += count
            for reason, count in counts.items():
                family.add_metric((str(replica.index), reason), count)
        return family

    def _processor(self, replicas: Sequence[ReplicaStatus]) -> Metric:
        family = CounterMetricFamily(
            "serving_replica_cpu_seconds",
            "User and system time of the processes that have filled the replica's place.",
            labels=("replica",),
        )
        for replica in replicas:
            processor = self._processors.setdefault(replica.index, _Processor())
            family.add_metric((str(replica.index),), processor.update(replica.pid, replica.cpu_seconds))
        return family


def _gauge(name: str, documentation: str, values: Sequence[tuple[ReplicaStatus, float]]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=("replica",))
    for replica, value in values:
        family.add_metric((str(replica.index),), value)
    return family
