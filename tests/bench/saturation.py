"""How many images a second: the service through HTTP, and as many pipelines in process as it has replicas, in turn."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from tests.bench import asking, contestants
from tests.bench.load import Ask, in_turn, meet, saturate
from tests.bench.service import cpu_seconds
from tests.bench.worker import Worker
from tests.chaos.service import Service

Say = Callable[[str], None]


def compare(
    service: Service,
    release: Path,
    images: Sequence[Path],
    cores: Sequence[int],
    clients: int,
    seconds: float,
    rounds: int,
    say: Say,
) -> dict[str, Any]:
    """Images a second of both ways and processor seconds of an image, medians of the rounds; `share`: of what the
    processes do, what the service does.

    Args:
        service: of the release, with one replica for each core, each of which has met all images.
        cores: one process for each.
        clients: of the service, that ask without a pause.
        seconds: of each way in each round, at least.
    """
    with ExitStack() as stack:
        workers = [
            stack.enter_context(Worker(contestants.timed, (contestants.of_release, release), core))
            for core in cores
        ]
        asked = [stack.enter_context(asking.http(service)) for _ in range(clients)]
        ways: dict[str, list[Ask]] = {"in_process": list(workers), "service": list(asked)}
        processes = {
            "in_process": [psutil.Process(worker.pid) for worker in workers],
            "service": [service.process()],
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        spent: dict[str, list[float]] = {way: [] for way in ways}
        meet(workers, images)
        for number in range(rounds):
            for way, asks in in_turn(ways, number):
                before = sum(map(cpu_seconds, processes[way]))
                load = saturate(asks, images, seconds)
                rates[way].append(load.rate)
                spent[way].append((sum(map(cpu_seconds, processes[way])) - before) / len(load.times))
            say(f"service and in process, saturated: round {number + 1} of {rounds}")
    medians = {way: statistics.median(found) for way, found in rates.items()}
    pairs = [one / other for one, other in zip(rates["service"], rates["in_process"])]
    return {
        "cores": len(cores),
        "clients": clients,
        "images_per_second": medians,
        "cpu_seconds": {way: statistics.median(found) for way, found in spent.items()},
        "share": statistics.median(pairs),
        "shares": pairs,
    }
