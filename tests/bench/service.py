"""The service through HTTP and gRPC, with more and more clients: how much, how quickly, and whether answers agree."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests.bench import asking
from tests.bench.load import Ask, Load, meet, saturate
from tests.chaos.service import Service
from toolkit.gateway import status
from toolkit.serving import release

Say = Callable[[str], None]


def run(
    service: Service,
    images: Sequence[Path],
    clients: Sequence[int],
    seconds: float,
    rounds: int,
    say: Say,
) -> list[dict[str, Any]]:
    """For each protocol and number of clients: see `_row`.

    Args:
        clients: numbers of clients that ask at once without a pause.
        seconds: of each of them in each round, at least.
    """
    expected = answers(service, images)
    found: dict[tuple[int, str], list[tuple[Load, float, int]]] = {
        (count, protocol): [] for count in clients for protocol in asking.PROTOCOLS
    }
    for number in range(rounds):
        for (count, protocol), measured in found.items():
            measured.append(_measure(service, protocol, count, images, seconds, expected))
        say(f"service: round {number + 1} of {rounds}")
    return [_row(count, protocol, measured) for (count, protocol), measured in found.items()]


def answers(service: Service, images: Sequence[Path]) -> dict[Path, object]:
    """What a single client gets for each image."""
    with asking.http(service) as ask:
        return {image: ask(image) for image in images}


def warm(service: Service, images: Sequence[Path]) -> None:
    """Have each replica meet each image, once what stands by has started: that takes cores."""
    spare = release.variant(service.release, release.FP32) != service.release
    if spare and service.plan.limits.standby == release.FP32:
        service.wait_until("one stands by", lambda: _stands_by(service), seconds=120)
    with ExitStack() as stack:
        replicas = service.settings.replicas or 1
        asks = [stack.enter_context(asking.http(service)) for _ in range(replicas)]
        meet(asks, images)


def _stands_by(service: Service) -> bool:
    return any(item["state"] == status.STANDBY for item in service.state.replicas)


def _measure(
    service: Service,
    protocol: str,
    clients: int,
    images: Sequence[Path],
    seconds: float,
    expected: Mapping[Path, object],
) -> tuple[Load, float, int]:
    """What was done; the cores that the service's processes took meanwhile; how many answers were different."""
    different: list[Path] = []

    def compared(ask: Ask) -> Ask:
        def compare(image: Path) -> None:
            if ask(image) != expected[image]:
                different.append(image)

        return compare

    with ExitStack() as stack:
        asks = [stack.enter_context(asking.PROTOCOLS[protocol](service)) for _ in range(clients)]
        began, before = time.monotonic(), cpu_seconds(service.process())
        load = saturate([compared(ask) for ask in asks], images, seconds)
        taken = cpu_seconds(service.process()) - before
        return load, taken / (time.monotonic() - began), len(different)


def cpu_seconds(process: psutil.Process) -> float:
    """Of the process and all that it has started and that runs still."""
    times = [item.cpu_times() for item in (process, *process.children(recursive=True))]
    return float(sum(item.user + item.system for item in times))


def _row(clients: int, protocol: str, measured: Sequence[tuple[Load, float, int]]) -> dict[str, Any]:
    """`rate`, images a second: the median of the rounds, `low` and `high` of them; `p50` and `p99` of all, in ms."""
    rates = [load.rate for load, _, _ in measured]
    times = [spent for load, _, _ in measured for spent in load.times]
    return {
        "protocol": protocol,
        "clients": clients,
        "rate": statistics.median(rates),
        "low": min(rates),
        "high": max(rates),
        "p50": 1000 * float(np.quantile(times, 0.5)),
        "p99": 1000 * float(np.quantile(times, 0.99)),
        "cores": statistics.median(cores for _, cores, _ in measured),
        "requests": len(times),
        "different": sum(different for _, _, different in measured),
    }
