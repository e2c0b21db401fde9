"""python -m tests.canary [--release DIR] [--images DIR] [--cases NAME ...] [--json]

Deploys copies of a rendered release while clients ask. With a canary: one that is as good as what serves (`good`), and
three that are worse in a way that their own golden answers and gate record hide: a layer of disturbed weights
(`answers`), three times the time (`latency`), a crash at every fiftieth request (`errors`). The first must take over;
each other must be taken back by the measurement of its name. Without a canary: the disturbed one under the watch
(`watch`), which must go to its FP32 models by itself. No client may notice any of it.

Exits with 1 if anything of that did not hold, with 2 if there is no release.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests import rendered
from tests.canary import releases, trials
from tests.chaos.service import free_port
from tests.processes import processes_of
from toolkit.errors import ToolkitError
from toolkit.serving.release import goldens
from toolkit.supervisor import control
from toolkit.supervisor.deployed import Target
from toolkit.supervisor.settings import Settings
from toolkit.supervisor.switch import switch

GOOD, WATCH = "good", "watch"
CASES = (GOOD, *releases.FAULTS, WATCH)

# Percent of the requests: enough for two clients on two cores to make an analysis of within a minute.
_SHARE = 50
_CANARY = {
    "steps": [_SHARE],
    "interval_seconds": 5.0,
    "inconclusives": 60,
    "min_requests": 20,
    "mirror": 1.0,
    "max_errors": 0.0005,
}

# It is bad releases that count here, not a busy machine; and what stands by would only take memory.
_LIMITS = {"deadline_seconds": 60, "golden_deadline_seconds": 60, "standby": "none"}

_PLANS: dict[str, dict[str, dict[str, Any]]] = {
    # One that crashes now and then must not have passed before.
    releases.ERRORS: {"canary": {**_CANARY, "min_requests": releases.CRASH_AT}},
    WATCH: {
        "limits": {**_LIMITS, "standby": "fp32"},
        "watch": {"sample": 1.0, "window": 40, "rollback": True},
    },
}


def main(argv: list[str] | None = None) -> int:
    """Run it; the exit code."""
    options = _options(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="canary-") as name:
        folder = Path(name)
        home = folder / "build" / "ocr"
        try:
            found = run(folder, home, options)
        except ToolkitError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("interrupted; the service is stopped", file=sys.stderr)
            return 130
        finally:
            control.stop(home)
            left = processes_of(folder)
            for process in left:
                process.kill()
    passed = all(item["passed"] for item in found) and not left
    if options.json:
        print(json.dumps({"cases": found, "leaked_processes": len(left), "passed": passed}, indent=2))
    else:
        print("\n".join(_text(found, len(left))))
    return 0 if passed else 1


def run(folder: Path, home: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """All cases, one after the other; what became of each."""
    settings = Settings("127.0.0.1", free_port(), free_port(), options.replicas)
    stable = Target(str(_made(folder, GOOD, options.release, "stable")), settings)
    images = (
        sorted(options.images.rglob("*.jpg"))
        if options.images
        else [path for path, _ in goldens(stable.directory)]
    )
    control.launch(home, stable)
    found = []
    for case in options.cases:
        print(f"case: {case}", file=sys.stderr, flush=True)
        target = replace(stable, release=str(_made(folder, case, options.release, case)))
        if case == WATCH:
            became = trials.by_watch(home, target, images)
        else:
            expected = None if case == GOOD else case
            became = trials.by_canary(home, stable, target, _SHARE, expected, images)
        found.append({"case": case, **became})
        if trials.state(home).target != stable:
            switch(home, stable, trials.prove)
    return found


def _made(folder: Path, case: str, release: Path, name: str) -> Path:
    fault = {GOOD: None, WATCH: releases.ANSWERS}.get(case, case)
    return releases.make(
        release, folder / f"ocr-{name}", fault, {"limits": _LIMITS, "canary": _CANARY, **_PLANS.get(case, {})}
    )


def _text(found: list[dict[str, Any]], left: int) -> Iterator[str]:
    for item in found:
        yield (
            f"{item['case']:<8} {item['became']} after {item['seconds']:.0f} s, {item['analyses']} analyses; "
            f"{item['requests']} requests, {item['failed']} failed, median {item['median_seconds']:.2f} s, "
            f"longest {item['longest_seconds']:.2f} s: {'as it has to be' if item['passed'] else 'WRONG'}"
        )
        if item["reason"]:
            yield f"         {item['reason'].splitlines()[0]}"
        yield from (f"         {problem}" for problem in item["problems"])
    yield f"leaked processes  {left}"


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = rendered.parser("python -m tests.canary", __doc__, replicas=1)
    parser.add_argument(
        "--images", type=Path, help="folder of JPEG files; default: golden images of the release"
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    return rendered.parsed(parser, argv)


if __name__ == "__main__":
    sys.exit(main())
