"""python -m tests.canary [--release DIR] [--images DIR] [--faults NAME ...] [--json]

Deploys copies of a rendered release with a canary while clients ask: one that is as good as what serves (`none`), and
three that are worse in a way that their own golden answers and gate record hide: a layer of disturbed weights
(`answers`), three times the time (`latency`), a crash at every fiftieth request (`errors`). The first must take over;
each other must be taken back by the measurement of its name; and no client may notice.

Exits with 1 if anything of that did not hold, with 2 if there is no release.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests import rendered
from tests.canary import releases
from tests.canary.load import Load
from tests.chaos.service import free_port
from tests.processes import processes_of
from toolkit.cli.ask import ask
from toolkit.errors import CanaryError, ToolkitError
from toolkit.serving.release import goldens
from toolkit.supervisor import control
from toolkit.supervisor import state as states
from toolkit.supervisor.deployed import Target
from toolkit.supervisor.settings import Settings
from toolkit.supervisor.state import State
from toolkit.supervisor.switch import CanaryRequest, switch

NONE = "none"

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
        print(json.dumps({"canaries": found, "leaked_processes": len(left), "passed": passed}, indent=2))
    else:
        print("\n".join(_text(found, len(left))))
    return 0 if passed else 1


def run(folder: Path, home: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """All canaries, one after the other; what became of each."""
    settings = Settings("127.0.0.1", free_port(), free_port(), options.replicas)
    stable = Target(str(releases.make(options.release, folder / "ocr-1", None, _CANARY, **_LIMITS)), settings)
    images = sorted(options.images.rglob("*.jpg")) if options.images else _images_of(stable)
    control.launch(home, stable)
    found = []
    for fault in options.faults:
        _say(f"a release with the fault: {fault}")
        # One that crashes now and then must not have passed before.
        canary = {**_CANARY, "min_requests": releases.CRASH_AT} if fault == releases.ERRORS else _CANARY
        planted = None if fault == NONE else fault
        made = releases.make(options.release, folder / f"ocr-{fault}", planted, canary, **_LIMITS)
        found.append(_tried(home, stable, replace(stable, release=str(made)), fault, images))
        if _state(home).target != stable:
            switch(home, stable, lambda state: ask(state).to_json())
    return found


def _tried(home: Path, stable: Target, target: Target, fault: str, images: Sequence[Path]) -> dict[str, Any]:
    """What became of one canary; `passed`: what had to."""
    analyses: list[Mapping[str, Any]] = []
    told, began = "", time.monotonic()

    def tell(analysis: Mapping[str, Any]) -> None:
        analyses.append(analysis)
        _say(f"  {analysis['text']}")

    with Load(_state(home), images) as load:
        try:
            switch(home, target, lambda state: ask(state).to_json(), CanaryRequest(_SHARE, tell))
        except CanaryError as error:
            told = error.message
    last = analyses[-1]["measurements"] if analyses else []
    caught = [item["name"] for item in last if item["result"] == "failure"]
    serving = _state(home)
    ask(serving)
    good = not told and serving.target == target
    bad = fault in caught and serving.target == stable
    return {
        "fault": fault,
        "caught_by": caught,
        "reason": told,
        "analyses": len(analyses),
        "seconds": round(time.monotonic() - began, 1),
        "requests": len(load.seconds) + len(load.problems),
        "failed": len(load.problems),
        "problems": load.problems[:3],
        "median_seconds": round(statistics.median(load.seconds), 3),
        "longest_seconds": round(max(load.seconds), 3),
        "passed": (good if fault == NONE else bad) and not load.problems,
    }


def _state(home: Path) -> State:
    found = states.running(home)
    assert found is not None, "the service does not run"
    return found


def _images_of(target: Target) -> list[Path]:
    return [path for path, _ in goldens(target.directory)]


def _text(found: Sequence[Mapping[str, Any]], left: int) -> Iterator[str]:
    for item in found:
        what = f"taken back by {' and '.join(item['caught_by'])}" if item["reason"] else "took over"
        yield (
            f"{item['fault']:<8} {what} after {item['seconds']:.0f} s, {item['analyses']} analyses; "
            f"{item['requests']} requests, {item['failed']} failed, median {item['median_seconds']:.2f} s, "
            f"longest {item['longest_seconds']:.2f} s: {'as it has to be' if item['passed'] else 'WRONG'}"
        )
        if item["reason"]:
            yield f"         {item['reason'].splitlines()[0]}"
        yield from (f"         {problem}" for problem in item["problems"])
    yield f"leaked processes  {left}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options(argv: list[str] | None) -> argparse.Namespace:
    faults = (NONE, *releases.FAULTS)
    parser = rendered.parser("python -m tests.canary", __doc__, replicas=1)
    parser.add_argument(
        "--images", type=Path, help="folder of JPEG files; default: golden images of the release"
    )
    parser.add_argument("--faults", nargs="+", choices=faults, default=list(faults))
    return rendered.parsed(parser, argv)


if __name__ == "__main__":
    sys.exit(main())
