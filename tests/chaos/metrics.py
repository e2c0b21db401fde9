"""What a service says of its replicas in `/metrics`, as far as chaos is concerned."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SAMPLE = re.compile(r"^(serving_\w+?)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Snapshot:
    """
    Attributes:
        states: by replica.
        restarts: how often each was replaced, by replica and reason.
        memory: resident bytes, by replica.
        retried, poisoned: requests, since the service was started.
        in_flight: requests that hold a place.
    """

    states: dict[int, str]
    restarts: dict[tuple[int, str], int]
    memory: dict[int, float]
    retried: int
    poisoned: int
    in_flight: int

    @property
    def ready(self) -> int:
        """Replicas that are."""
        return sum(state == "ready" for state in self.states.values())

    def replaced(self, index: int) -> int:
        """How often that replica was, whatever the reason."""
        return sum(count for (replica, _), count in self.restarts.items() if replica == index)

    def by_reason(self, reason: str) -> int:
        """How often any replica was replaced for that reason."""
        return sum(count for (_, why), count in self.restarts.items() if why == reason)


def parse(text: str) -> Snapshot:
    """Metrics in Prometheus' text format.

    Raises:
        KeyError: one of them is missing.
    """
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    for name, labels, value in _SAMPLE.findall(text):
        samples.setdefault(name, []).append((dict(_LABEL.findall(labels)), float(value)))
    return Snapshot(
        states={
            int(labels["replica"]): labels["state"]
            for labels, value in samples["serving_replica_state"]
            if value
        },
        restarts={
            (int(labels["replica"]), labels["reason"]): int(value)
            for labels, value in samples["serving_replica_restarts_total"]
        },
        memory={
            int(labels["replica"]): value
            for labels, value in samples["serving_replica_resident_memory_bytes"]
        },
        retried=int(samples["serving_requests_retried_total"][0][1]),
        poisoned=int(samples["serving_requests_poisoned_total"][0][1]),
        in_flight=int(samples["serving_in_flight"][0][1]),
    )
