"""python -m tests.overhead [--home build/ocr] [--image FILE] [--rounds 100] [--limit 3] [--json]

What the front door adds to a request: one client asks the running service over HTTP and, in turn, a replica of it over
that one's own socket. Inferences vary by more than the front door takes, so the replica's own time, which stands beside
every answer, is taken off each. Exits with 1 if a way costs more than the limit at the median.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import re
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import grpc

from toolkit.client import protocol
from toolkit.serving import release
from toolkit.serving.timing import METADATA_KEY
from toolkit.supervisor import state as states

DIRECTLY = "replica directly"
_TIMEOUT, _WARM_UP = 60.0, 5

# Of the header Server-Timing, what the front door itself measures.
_NOT_THE_REPLICAS = ("queue", "total")

Ask = Callable[[], float]


@dataclass(frozen=True)
class Time:
    """Of one request, in seconds: as the client saw it, and of it the replica's own, from decoding to the answer."""

    whole: float
    own: float


def main(argv: list[str] | None = None) -> int:
    """Measure; the exit code."""
    options = _options(argv)
    running = options.running
    image = options.image.read_bytes() if options.image else release.cheapest_golden(Path(running.release))[0]
    document = json.dumps({"image": base64.b64encode(image).decode()}).encode()
    socket = max(Path(running.run_dir).glob("replica-*/*.sock"), key=lambda path: path.stat().st_mtime)
    with (
        grpc.insecure_channel(f"unix:{socket}") as channel,
        closing(http.client.HTTPConnection(running.client_host, running.http_port, timeout=_TIMEOUT)) as door,
    ):
        ways: dict[str, Ask] = {
            DIRECTLY: lambda: _ask(channel, protocol.pack_file(running.name, image)),
            "HTTP, the file": lambda: _post(door, running.name, image, "application/octet-stream"),
            "HTTP, JSON": lambda: _post(door, running.name, document, "application/json"),
        }
        found = figures(measure(ways, options.rounds))
    passed = all(way["added_ms"] <= options.limit for way in found.values())
    if options.json:
        print(json.dumps({"bytes": len(image), "rounds": options.rounds, "ways": found, "passed": passed}))
    else:
        print(f"{len(image)} bytes, {options.rounds} rounds; medians in milliseconds")
        print(f"{'':18} {'whole':>8} {'beyond the replica':>19} {'added':>8}")
        for way, row in found.items():
            print(f"{way:18} {row['whole_ms']:8.2f} {row['beyond_ms']:19.2f} {row['added_ms']:8.2f}")
    return 0 if passed else 1


def _ask(channel: grpc.Channel, request: bytes) -> float:
    method: Any = channel.unary_unary(protocol.PATH, None, None)
    _, call = method.with_call(request, timeout=_TIMEOUT)
    timings = json.loads(dict(call.trailing_metadata())[METADATA_KEY])
    return float(sum(timings["stages"].values()))


def _post(door: http.client.HTTPConnection, name: str, body: bytes, content_type: str) -> float:
    door.request("POST", f"/predict/{name}", body, {"Content-Type": content_type})
    with door.getresponse() as answer:
        text = answer.read().decode()
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(f"{answer.status}: {text}")
        return replicas_own(answer.headers["Server-Timing"])


def replicas_own(header: str) -> float:
    """Seconds that a Server-Timing header says of the replica's stages."""
    stages = re.findall(r"([\w.]+);dur=([\d.]+)", header)
    return sum(float(spent) for stage, spent in stages if stage not in _NOT_THE_REPLICAS) / 1000


def measure(ways: dict[str, Ask], rounds: int) -> dict[str, list[Time]]:
    """The times of each request, by way; the first of each round is another one every time."""
    times: dict[str, list[Time]] = {way: [] for way in ways}
    order = list(ways)
    for number in range(-_WARM_UP, rounds):
        for way in order[number % len(order) :] + order[: number % len(order)]:
            began = time.perf_counter()
            own = ways[way]()
            if number >= 0:
                times[way].append(Time(time.perf_counter() - began, own))
    return times


def figures(times: dict[str, list[Time]]) -> dict[str, dict[str, float]]:
    """By way: medians of the whole, of what is not the replica's own, and how much that is more than directly."""
    beyond = {
        way: 1000 * statistics.median(one.whole - one.own for one in all_) for way, all_ in times.items()
    }
    return {
        way: {
            "whole_ms": 1000 * statistics.median(one.whole for one in all_),
            "beyond_ms": beyond[way],
            "added_ms": beyond[way] - beyond[DIRECTLY],
        }
        for way, all_ in times.items()
    }


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
    if options.running.settings.tls is not None:
        parser.error("the service speaks TLS, which this does not; deploy it without")
    if options.image is not None and not options.image.is_file():
        parser.error(f"there is no file {options.image}")
    return options


if __name__ == "__main__":
    sys.exit(main())
