"""python -m tests.soak [--home build/ocr | --http URL --pid PID] [--requests 5000] [--clients 4] [--json]

Exits with 1 if a request failed or memory grew by more than a tenth from request 500 to the last, with 2 if there is
nothing to soak.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.soak import course, images, load, memory, report
from toolkit.client import HttpClient
from toolkit.supervisor import state as states

_TIMEOUT = 60.0


def main(argv: list[str] | None = None) -> int:
    """Soak the service; the exit code."""
    options = _options(argv)
    if not memory.resident(options.pid):
        print(f"error: process {options.pid} has no replica of ours", file=sys.stderr)
        return 2
    found = soak(options)
    print(json.dumps(found, indent=2) if options.json else "\n".join(report.text(found)))
    return 0 if found["passed"] else 1


def soak(options: argparse.Namespace) -> dict[str, Any]:
    """Ask, and sample memory; see `report.figures`."""
    seen, told = course.Course(options.requests), dict[int, dict[str, int]]()
    scrape, began = memory.scraper(options.http), time.monotonic()

    def done(completed: int) -> None:
        if course.point_of(completed, options.requests) is not None:
            seen.add(completed, memory.resident(options.pid))
        if completed % course.EVERY == 0:
            told[completed] = scrape()
            speed = completed / (time.monotonic() - began)
            print(f"{completed} of {options.requests}, {speed:.1f} a second", file=sys.stderr, flush=True)

    with HttpClient(options.http, timeout=_TIMEOUT) as client:
        result = load.run(
            lambda number: _ask(client, options.model, images.jpeg(number, options.seed)),
            options.requests,
            options.clients,
            done,
        )
    return report.figures(result, seen, told)


def _ask(client: HttpClient, model: str, image: bytes) -> None:
    client.predict(model, image)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.soak", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path("build/ocr"), help="folder with service.json")
    parser.add_argument("--http", help="base URL; default: that of the service of --home")
    parser.add_argument("--pid", type=int, help="process of the service; default: that of --home")
    parser.add_argument("--model", default="ocr")
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    if options.requests < 2 * course.EVERY:
        parser.error(f"--requests must be at least {2 * course.EVERY}, to compare two points")
    if options.clients < 1:
        parser.error("--clients must be at least 1")
    if options.http is None or options.pid is None:
        running = states.running(options.home)
        if running is None:
            parser.error(
                f"no service runs in {options.home}; `make deploy` starts one, or give --http and --pid"
            )
        options.http = options.http or running.http_url
        options.pid = options.pid or running.pid
    options.http = options.http.rstrip("/")
    return options


if __name__ == "__main__":
    sys.exit(main())
