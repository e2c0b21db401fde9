"""python -m tests.fresh [--release DIR] [--data DIR] [--warm SECONDS] [--images N] [--rounds N] [--json]

What a warm-up costs a replica and saves its first requests: one is started without it and one with it, in turn, and
each is asked the same images, one after the other. Processor time stands beside the time that passes, since only the
former can be compared on a machine that has other work.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from tests import rendered
from toolkit.client import protocol
from toolkit.data import labels
from toolkit.errors import ToolkitError
from toolkit.serving import release
from toolkit.supervisor.replica import ReplicaProcess


@dataclass(frozen=True)
class Start:
    """A replica, from its start on; seconds, and of processor time where the name says so.

    Attributes:
        megabytes: when it was ready.
        requests: time of each request, in the order of the images.
    """

    ready: float
    ready_processor: float
    megabytes: int
    requests: list[float]
    requests_processor: list[float]


def main(argv: list[str] | None = None) -> int:
    """Measure; the exit code."""
    options = _options(argv)
    try:
        found = asyncio.run(compare(options))
    except ToolkitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({way: [asdict(item) for item in starts] for way, starts in found.items()}))
    else:
        print("\n".join(text(found)))
    return 0


async def compare(options: argparse.Namespace) -> dict[str, list[Start]]:
    """The starts of each way, without and with a warm-up."""
    paths = (
        [sample.image for sample in labels.read(options.data / "validation.txt")]
        if options.data
        else [path for path, _ in release.goldens(options.release)]
    )
    images = [path.read_bytes() for path in paths[: options.images]]
    found: dict[str, list[Start]] = {"without": [], "with": []}
    source = options.release.resolve()
    with tempfile.TemporaryDirectory(prefix="fresh-") as scratch:
        # Where a replica has its socket, whose path has to be short; this process ends here too.
        os.chdir(scratch)
        ways = {"without": 0.0, "with": options.warm}
        directories = {way: _release(source, Path(scratch) / way, warm) for way, warm in ways.items()}
        for number in range(options.rounds):
            for way in sorted(ways, reverse=number % 2 == 0):
                found[way].append(await _start(directories[way], images))
    return found


def _release(source: Path, target: Path, warm: float) -> Path:
    """The same release, warmed up for so many seconds."""
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).symlink_to(path)
    plan = yaml.safe_load((source / release.RELEASE_FILE).read_text())
    plan["limits"]["warm_seconds"] = warm
    (target / release.RELEASE_FILE).unlink()
    (target / release.RELEASE_FILE).write_text(yaml.safe_dump(plan))
    return target


async def _start(directory: Path, images: Sequence[bytes]) -> Start:
    plan = release.read(directory)
    replica = ReplicaProcess(0, 1, directory, plan)
    began = time.perf_counter()
    try:
        await replica.start()
        ready = time.perf_counter() - began
        (resident, processor) = replica.usage()
        passed, used = [], []
        for image in images:
            began, before = time.perf_counter(), replica.usage()[1]
            await replica.endpoint.call(protocol.PATH, protocol.pack_file(plan.name, image))
            passed.append(time.perf_counter() - began)
            used.append(replica.usage()[1] - before)
    finally:
        await replica.stop(plan.limits.grace_seconds)
    return Start(ready, processor, resident >> 20, passed, used)


def text(found: dict[str, list[Start]]) -> list[str]:
    """The median of each way, and what the second is to the first in each pair."""
    rows: list[tuple[str, str, Callable[[Start], float]]] = [
        ("until ready, s", ".1f", lambda item: item.ready),
        ("  of processor time, s", ".1f", lambda item: item.ready_processor),
        ("memory when ready, MB", ".0f", lambda item: item.megabytes),
        ("first request, ms", ".0f", lambda item: item.requests[0] * 1000),
        ("  of processor time, ms", ".0f", lambda item: item.requests_processor[0] * 1000),
        ("mean of requests, ms", ".0f", lambda item: statistics.fmean(item.requests) * 1000),
        ("  of processor time, ms", ".0f", lambda item: statistics.fmean(item.requests_processor) * 1000),
    ]
    lines = [f"{'a warm-up':<26} {'without':>9} {'with':>9}  times, by pair"]
    for title, shown, value in rows:
        without, with_ = ([value(item) for item in found[way]] for way in ("without", "with"))
        pairs = ", ".join(f"{second / first:.2f}" for first, second in zip(without, with_))
        medians = " ".join(f"{format(statistics.median(way), shown):>9}" for way in (without, with_))
        lines.append(f"{title:<26} {medians}  {pairs}")
    return lines


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = rendered.parser("python -m tests.fresh", __doc__)
    parser.add_argument("--data", type=Path, help="directory with validation.txt; default: the golden images")
    parser.add_argument("--warm", type=float, default=3.0, help="`serving.warm_seconds` of the second")
    parser.add_argument("--images", type=int, default=6, help="at most so many")
    parser.add_argument("--rounds", type=int, default=3)
    return rendered.parsed(parser, argv, "images", "rounds", "warm")


if __name__ == "__main__":
    sys.exit(main())
