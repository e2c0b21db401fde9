"""python -m tests.overhead [--home build/ocr] [--image FILE] [--rounds 100] [--limit 3] [--json]

What the front door adds to a request: one client asks the running service in every way in turn, and a replica of it
directly over that one's own socket. Exits with 1 if a way costs more than the limit at the median.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import Any

import grpc

from toolkit.client import GrpcClient, protocol
from toolkit.serving import release
from toolkit.supervisor import state as states

DIRECTLY = "replica directly"
_TIMEOUT, _WARM_UP = 60.0, 5


def main(argv: list[str] | None = None) -> int:
    """Measure; the exit code."""
    options = _options(argv)
    running = options.running
    image = options.image.read_bytes() if options.image else release.cheapest_golden(Path(running.release))[0]
    name, document = running.name, json.dumps({"image": base64.b64encode(image).decode()}).encode()
    socket = max(Path(running.run_dir).glob("replica-*/*.sock"), key=lambda path: path.stat().st_mtime)
    path = f"/predict/{name}"
    with (
        grpc.insecure_channel(f"unix:{socket}") as channel,
        closing(http.client.HTTPConnection(running.client_host, running.http_port, timeout=_TIMEOUT)) as door,
        GrpcClient(f"{running.client_host}:{running.grpc_port}", timeout=_TIMEOUT) as rpc,
    ):
        replica: Any = channel.unary_unary(protocol.PATH)
        request = protocol.pack_file(name, image)
        ways: dict[str, Callable[[], Any]] = {
            DIRECTLY: lambda: replica(request, timeout=_TIMEOUT),
            "HTTP, the file": lambda: _post(door, path, image, "application/octet-stream"),
            "HTTP, JSON": lambda: _post(door, path, document, "application/json"),
            "gRPC, Paddle Serving's": lambda: rpc.predict(name, image),
        }
        found = figures(measure(ways, options.rounds))
    passed = all(way["added_ms"] <= options.limit for way in found.values())
    if options.json:
        print(json.dumps({"bytes": len(image), "rounds": options.rounds, "ways": found, "passed": passed}))
    else:
        print(f"{len(image)} bytes, {options.rounds} rounds; milliseconds")
        print(f"{'':24} {'median':>8} {'added':>8} {'p90 added':>10}")
        for way, row in found.items():
            print(f"{way:24} {row['p50_ms']:8.2f} {row['added_ms']:8.2f} {row['added_p90_ms']:10.2f}")
    return 0 if passed else 1


def _post(door: http.client.HTTPConnection, path: str, body: bytes, content_type: str) -> None:
    door.request("POST", path, body, {"Content-Type": content_type})
    with door.getresponse() as answer:
        text = answer.read().decode()
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(f"{answer.status}: {text}")


def measure(ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each request, by way; the first of each round is another one every time."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    order = list(ways)
    for number in range(-_WARM_UP, rounds):
        for way in order[number % len(order) :] + order[: number % len(order)]:
            began = time.perf_counter()
            ways[way]()
            if number >= 0:
                seconds[way].append(time.perf_counter() - began)
    return seconds


def figures(seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """By way: the median, and median and 90th percentile of what it takes beyond a direct request of its round."""
    found = {}
    for way, times in seconds.items():
        added = [1000 * (one - other) for one, other in zip(times, seconds[DIRECTLY])]
        found[way] = {
            "p50_ms": 1000 * statistics.median(times),
            "added_ms": 1000 * (statistics.median(times) - statistics.median(seconds[DIRECTLY])),
            "added_p90_ms": statistics.quantiles(added, n=10)[-1],
        }
    return found


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.overhead", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path("build/ocr"), help="folder with service.json")
    parser.add_argument(
        "--image", type=Path, help="file to send; default: the release's smallest golden image"
    )
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument(
        "--limit", type=float, default=3.0, help="milliseconds that a way may add at the median"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    options.running = states.running(options.home)
    if options.running is None:
        parser.error(f"no service runs in {options.home}; `make deploy` starts one")
    return options


if __name__ == "__main__":
    sys.exit(main())
