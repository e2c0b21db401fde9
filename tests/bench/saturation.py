"""How many images a second: the service through HTTP, and as many pipelines in process as it has replicas, in turn."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench import contestants
from tests.bench.contestants import Contestant
from tests.chaos.service import Service, running
from toolkit.client import HttpClient

_TIMEOUT = 120.0

Ask = Callable[[Path], object]


def compare(
    release: Path, images: Sequence[Path], cores: Sequence[int], clients: int, seconds: float, rounds: int
) -> dict[str, Any]:
    """Images a second of both ways, medians of the rounds; `share`: of what the processes do, what the service does.

    Args:
        cores: one replica, and one process, for each.
        clients: of the service, that ask without a pause.
        seconds: of each way in each round, at least.
    """
    with ExitStack() as stack:
        workers = [
            stack.enter_context(Contestant(contestants.of_release, str(release), core)) for core in cores
        ]
        service = stack.enter_context(running(release, len(cores)))
        asking = [stack.enter_context(_client(service)) for _ in range(clients)]
        ways: dict[str, list[Ask]] = {
            "in_process": list(workers),
            "service": [partial(client.predict, service.plan.name) for client in asking],
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        # Each replica and each process has to have met all shapes.
        for asks in ways.values():
            saturate(asks, images, 0, at_least=2 * len(images) * len(cores))
        for _ in range(rounds):
            for way, asks in ways.items():
                rates[way].append(saturate(asks, images, seconds))
    medians = {way: statistics.median(found) for way, found in rates.items()}
    pairs = [one / other for one, other in zip(rates["service"], rates["in_process"])]
    return {
        "cores": len(cores),
        "clients": clients,
        "images_per_second": medians,
        "share": statistics.median(pairs),
        "shares": pairs,
    }


def saturate(asks: Sequence[Ask], images: Sequence[Path], seconds: float, at_least: int = 0) -> float:
    """Images a second of all `asks` side by side, each without a pause, over whole images of all.

    Raises:
        Exception: what an ask raised.
    """
    begin = time.monotonic()
    ends: list[float] = []
    errors: list[BaseException] = []
    turn = itertools.count()

    def work(ask: Ask) -> None:
        try:
            while not errors and (time.monotonic() < begin + seconds or len(ends) < at_least):
                ask(images[next(turn) % len(images)])
                ends.append(time.monotonic())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(ask,)) for ask in asks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return len(ends) / (max(ends) - begin)


def _client(service: Service) -> HttpClient:
    return HttpClient(service.state.http_url, _TIMEOUT)
