"""One release deployed while clients ask: with a canary, or under the watch alone."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.canary.load import Load
from toolkit.cli.ask import ask
from toolkit.errors import CanaryError
from toolkit.supervisor import analysis, journal
from toolkit.supervisor import state as states
from toolkit.supervisor.deployed import FP32, Target
from toolkit.supervisor.state import State
from toolkit.supervisor.switch import CanaryRequest, switch

# Seconds that the watch has.
_PATIENCE = 300


def by_canary(
    home: Path, stable: Target, target: Target, percent: float, expected: str | None, images: Sequence[Path]
) -> dict[str, Any]:
    """What became of a canary.

    Args:
        expected: the measurement that has to take it back; None: it has to take over.
    """
    analyses: list[Mapping[str, Any]] = []
    reason, began = "", time.monotonic()

    def tell(found: Mapping[str, Any]) -> None:
        analyses.append(found)
        print(f"  {found['text']}", file=sys.stderr, flush=True)

    with Load(state(home), images) as load:
        try:
            switch(home, target, prove, CanaryRequest(percent, tell))
        except CanaryError as error:
            reason = error.message
    last = analyses[-1]["measurements"] if analyses else []
    caught = [item["name"] for item in last if item["result"] == analysis.FAILURE]
    serving = state(home)
    prove(serving)
    if expected is None:
        right = not reason and serving.target == target
    else:
        right = expected in caught and serving.target == stable
    return {
        **_seen(load, began, right),
        "became": f"taken back by {' and '.join(caught)}" if reason else "took over",
        "reason": reason,
        "caught_by": caught,
        "analyses": len(analyses),
    }


def by_watch(home: Path, target: Target, images: Sequence[Path]) -> dict[str, Any]:
    """What became of a release that got all requests at once; it has to go to its FP32 models by itself."""
    with Load(state(home), images) as load:
        switch(home, target, prove)
        began = time.monotonic()
        while not (found := journal.read(home)) or found[-1].what != "watch":
            if time.monotonic() > began + _PATIENCE:
                break
            time.sleep(0.5)
    serving = state(home)
    noted = bool(found) and found[-1].what == "watch"
    return {
        **_seen(load, began, noted and (serving.target.release, serving.variant) == (target.release, FP32)),
        "became": "went to FP32" if serving.variant == FP32 else "served on",
        "reason": found[-1].reason if noted else "",
        "caught_by": [analysis.ANSWERS] if noted else [],
        "analyses": 0,
    }


def state(home: Path) -> State:
    """Of the service, which must run."""
    found = states.running(home)
    assert found is not None, "the service does not run"
    return found


def prove(serving: State) -> dict[str, Any]:
    """Smoke-test it."""
    return ask(serving).to_json()


def _seen(load: Load, began: float, right: bool) -> dict[str, Any]:
    """What the clients saw of it."""
    return {
        "seconds": round(time.monotonic() - began, 1),
        "requests": len(load.seconds) + len(load.problems),
        "failed": len(load.problems),
        "problems": load.problems[:3],
        "median_seconds": round(statistics.median(load.seconds), 3),
        "longest_seconds": round(max(load.seconds), 3),
        "passed": right and not load.problems,
    }
