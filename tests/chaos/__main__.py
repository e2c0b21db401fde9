"""python -m tests.chaos [--release DIR] [--replicas 3] [--clients 8] [--seconds 120] [--kill-every 20] [--json]

Starts a service of a rendered release on free ports of loopback, asks it without a pause, kills one replica after the
other, and prints what clients saw of it. Without --release it takes the newest one of --build and --model.

Exits with 1 if an answer was wrong, a killed replica did not come back, a request failed, or nobody was ready at some
moment. With one replica, requests may fail while it is away. Exits with 2 if there is no release.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from typing import Any

from tests import rendered
from tests.chaos import report
from tests.chaos.load import Load, questions
from tests.chaos.service import Service, running
from tests.chaos.watch import Watch
from toolkit.errors import ToolkitError

# A replica is started beside clients that take all the processors.
_RECOVERY = 120.0


def main(argv: list[str] | None = None) -> int:
    """Run it; the exit code."""
    options = _options(argv)
    # A service that is left behind would be the opposite of what this shows.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with running(options.release, options.replicas) as service:
            found = chaos(service, options)
            if not found["passed"]:
                print(service.log()[-10_000:], file=sys.stderr)
    except ToolkitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the service is stopped", file=sys.stderr)
        return 130
    print(json.dumps(found, indent=2) if options.json else "\n".join(report.text(found)))
    return 0 if found["passed"] else 1


def chaos(service: Service, options: argparse.Namespace) -> dict[str, Any]:
    """Load it and kill its replicas; see `report.figures`."""
    load = Load(*service.http, questions(service.release), options.clients)
    with Watch(*service.http) as watch:
        began = time.monotonic()
        with load:
            _kill_in_turn(service, watch, began, options)
        elapsed = time.monotonic() - began
        watch.wait_until_recovered(_RECOVERY)
    return report.figures(load, watch, options.replicas, service.started, elapsed)


def _kill_in_turn(service: Service, watch: Watch, began: float, options: argparse.Namespace) -> None:
    """One replica every so many seconds, until the time is over."""
    turn = 0
    while (turn + 1) * options.kill_every < options.seconds:
        _sleep_until(began + (turn + 1) * options.kill_every)
        _kill(service, turn % options.replicas, watch)
        turn += 1
    _sleep_until(began + options.seconds)


def _kill(service: Service, index: int, watch: Watch) -> None:
    victim = service.replica(index)
    victim.send_signal(signal.SIGKILL)
    watch.expect(index, time.monotonic())
    print(f"killed replica {index}, process {victim.pid}", file=sys.stderr, flush=True)


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = rendered.parser("python -m tests.chaos", __doc__, replicas=3)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--kill-every", type=float, default=20, help="seconds")
    return rendered.parsed(parser, argv, "clients", "seconds", "kill_every")


if __name__ == "__main__":
    sys.exit(main())
