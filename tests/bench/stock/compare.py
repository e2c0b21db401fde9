"""How many images a second: our service through HTTP, and the stock one, in turn, saturated by as many clients."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from tests.bench import asking
from tests.bench.load import Ask, in_turn, meet, saturate
from tests.bench.stock.server import StockClient, running
from tests.chaos.service import Service
from toolkit.spec import PipelineSpec

# The pipelines that there is a stock one for.
PIPELINES = ("ocr",)

OFF, ON = "oneDNN off, as configured", "oneDNN on, as Paddle 2.6 has it by itself"
SETTINGS = {OFF: False, ON: True}


def run(
    service: Service,
    spec: PipelineSpec,
    exports: Mapping[str, Path],
    images: Sequence[Path],
    onednn: bool,
    clients: int,
    seconds: float,
    rounds: int,
) -> dict[str, Any]:
    """Start the stock service, and ask both.

    Args:
        onednn: leave it on in the stock service.

    Returns:
        `images_per_second` of `ours` and `stock`, medians of the rounds; `ratio`, the median, with `low` and `high`;
        `lines` that each finds in an image, on average.
    """
    with running(spec, exports, images[0], onednn) as port:
        # oneDNN compiles for each shape, in each of the processes; native kernels compile nothing.
        return _compare(service, port, images, clients, seconds, rounds, warm=onednn)


def _compare(
    service: Service,
    port: int,
    images: Sequence[Path],
    clients: int,
    seconds: float,
    rounds: int,
    warm: bool,
) -> dict[str, Any]:
    with ExitStack() as stack:
        ours = [stack.enter_context(asking.http(service)) for _ in range(clients)]
        stock = [stack.enter_context(closing(StockClient(port))) for _ in range(clients)]
        lines = {
            "ours": _lines(images, lambda image: ours[0](image)["lines"]),
            "stock": _lines(images, stock[0]),
        }
        if warm:
            meet(stock, images)
        ways: dict[str, Sequence[Ask]] = {"ours": ours, "stock": stock}
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(rounds):
            for way, asks in in_turn(ways, number):
                rates[way].append(saturate(asks, images, seconds, at_least=len(images)).rate)
    ratios = [one / other for one, other in zip(rates["ours"], rates["stock"])]
    return {
        "clients": clients,
        "images_per_second": {way: statistics.median(found) for way, found in rates.items()},
        "ratio": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
        "lines": lines,
    }


def _lines(images: Sequence[Path], read: Callable[[Path], Any]) -> float:
    return statistics.fmean(len(read(image)) for image in images)
