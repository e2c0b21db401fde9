"""The resident memory of a service's replicas: as the kernel has it, and as the service itself says in /metrics."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable

import psutil
from prometheus_client.parser import text_string_to_metric_families

REPLICA = "toolkit.serving.replica"
METRIC = "serving_replica_resident_memory_bytes"


def resident(service: int) -> dict[int, int]:
    """Bytes by process id, of the replicas that the process `service` has started."""
    found = {}
    try:
        for process in psutil.Process(service).children(recursive=True):
            try:
                if REPLICA in process.cmdline():
                    found[process.pid] = process.memory_info().rss
            except psutil.Error:
                # It has ended since it was listed.
                continue
    except psutil.NoSuchProcess:
        return {}
    return found


def told(text: str) -> dict[str, int]:
    """Bytes by place of the replicas, in what `/metrics` answered; empty where it says nothing of that."""
    return {
        sample.labels.get("replica", ""): int(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == METRIC and sample.value > 0
    }


def scraper(url: str) -> Callable[[], dict[str, int]]:
    """Asks the service at `url` for what it says; nothing where it has no such page."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def scrape() -> dict[str, int]:
        try:
            with opener.open(f"{url}/metrics", timeout=5) as answer:
                return told(answer.read().decode())
        except (OSError, ValueError):
            return {}

    return scrape
