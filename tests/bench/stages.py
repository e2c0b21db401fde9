"""Times of the toolkit's own stages: of the run that made what is there, and with nothing to do."""

from __future__ import annotations

import calendar
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from tests.chaos.service import free_port
from toolkit import process
from toolkit.child import Progress
from toolkit.console import Console
from toolkit.errors import ChildError
from toolkit.spec import PipelineSpec
from toolkit.stages import evaluate
from toolkit.stages.context import Context
from toolkit.store.artifact import MANIFEST
from toolkit.supervisor import state as states

# From optimize to the verdict, with what is built on the way; without them all the run was no cold one.
_NEEDED = frozenset({"optimize", "calibrate", "search", "evaluate"})
_COUNTED = _NEEDED | {"equalize", "quantize", "measure", "prove", "diagnose"}

# What is further apart belongs to two runs.
_GAP = 60.0

_REPEATS, _SETTLED = 3, 60.0
_ROOT = Path(__file__).resolve().parents[2]

Say = Callable[[str], None]


@dataclass(frozen=True)
class Span:
    """When an artifact was built, in seconds since the epoch."""

    stage: str
    name: str
    begin: float
    end: float


def cold(store: Path, pipeline: str) -> dict[str, Any] | None:
    """The run that ended in the newest evaluation of `pipeline`; None: it built only a part, or times are not recorded.

    Returns:
        `seconds` from optimize to the verdict, without the time in which neither worked, and `stages`, by stage the
        `artifacts` that were built and the `seconds` in which one of them was.
    """
    spans = sorted(_spans(store), key=lambda span: span.end)
    ends = [span.end for span in spans if span.stage == "evaluate" and span.name == pipeline]
    if not ends:
        return None
    run = _run([span for span in spans if span.end <= ends[-1]])
    stages = sorted({span.stage for span in run})
    if not set(stages) >= _NEEDED:
        return None
    return {
        "seconds": covered([span for span in run if span.stage in _COUNTED]),
        "stages": {
            stage: {
                "artifacts": sum(span.stage == stage for span in run),
                "seconds": covered([span for span in run if span.stage == stage]),
            }
            for stage in stages
        },
    }


def _spans(store: Path) -> Iterator[Span]:
    for path in store.glob(f"*/*/{MANIFEST}"):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if "seconds" in manifest:
            end = float(calendar.timegm(time.strptime(manifest["created"], "%Y-%m-%dT%H:%M:%SZ")))
            yield Span(manifest["stage"], manifest["name"], end - manifest["seconds"], end)


def _run(spans: Sequence[Span]) -> list[Span]:
    """The last of `spans`, which are in the order of their ends, and those that went before it without a gap."""
    found: list[Span] = []
    begin = spans[-1].end
    for span in reversed(spans):
        if span.end < begin - _GAP:
            break
        found.append(span)
        begin = min(begin, span.begin)
    return found


def covered(spans: Sequence[Span]) -> float:
    """Seconds in which at least one of `spans` lasted."""
    total, until = 0.0, float("-inf")
    for span in sorted(spans, key=lambda span: span.begin):
        total += max(0.0, span.end - max(span.begin, until))
        until = max(until, span.end)
    return total


class _Busy(Exception):
    """A stage has something to do."""


class _Idle(Console):
    """Lets no stage do anything."""

    @contextmanager
    def working(self, stage: str, name: str, unit: str = "") -> Iterator[Progress]:
        """Nobody may."""
        yield _refuse(f"{stage} {name}")


def _refuse(what: str) -> Progress:
    raise _Busy(what)


def idle(spec: PipelineSpec, build: Path, data: Path | None, say: Say) -> dict[str, list[float]] | None:
    """Seconds of `render`, which is all stages, and of `deploy`, with nothing to do; None: an evaluation is missing.

    The service is one of its own, of the same artifacts, in a build directory that is gone afterwards.

    Args:
        data: what the release may have been made with, if not with the pipeline's own.
    """
    used = _finished(spec, build, data)
    if used is None:
        return None
    with tempfile.TemporaryDirectory(prefix="bench-build-") as folder:
        place = Path(folder)
        (place / "store").symlink_to(build.resolve() / "store")
        variables = {
            "MODEL": spec.name,
            "BUILD": folder,
            "DATA": str(used[0].resolve()) if used[0] else "",
            "HTTP_PORT": str(free_port()),
            "GRPC_PORT": str(free_port()),
            "REPLICAS": "1",
            # What was given for the benchmark is not meant for these.
            **dict.fromkeys(("ARGS", "PRECISION", "BUDGET", "RELEASE", "CANARY"), ""),
        }
        found = {}
        try:
            for target in ("render", "deploy"):
                say(f"stages: {target} with nothing to do")
                # Twice: a service that is started records where its release really is, and the store here is a link,
                # so that the second deployment takes it for another release.
                for _ in range(2):
                    _run_target(target, variables)
                    _settle(place / spec.name)
                found[target] = [_run_target(target, variables) for _ in range(_REPEATS)]
        finally:
            _run_target("stop", variables)
    return found


def _finished(spec: PipelineSpec, build: Path, data: Path | None) -> tuple[Path | None] | None:
    """The data that there is a finished evaluation for, in a tuple, since None is the pipeline's own."""
    for candidate in (None, data) if data else (None,):
        context = Context(spec, build.resolve(), candidate, None, _Idle(quiet=True))
        try:
            evaluate.run(context)
        except _Busy:
            continue
        return (candidate,)
    return None


def _settle(home: Path) -> None:
    """Wait until the service of `home`, if there is one, starts no more replicas, which would take the processor."""
    deadline = time.monotonic() + _SETTLED
    while time.monotonic() < deadline:
        running = states.running(home)
        if running is None or all(item["state"] in ("ready", "standby") for item in running.replicas):
            return
        time.sleep(0.2)


def _run_target(target: str, variables: Mapping[str, str]) -> float:
    """Seconds of a Make target where make has started this, else of the command of the same name.

    Raises:
        ChildError: it failed.
    """
    began = time.monotonic()
    # The variables of the make above come in the environment, too: those that matter are all given again.
    done = process.run(
        _command(target, variables), cwd=_ROOT, env={"MAKEFLAGS": "", "MFLAGS": "", "MAKEOVERRIDES": ""}
    )
    if done.returncode:
        raise ChildError(f"`{target}` failed:\n{done.stderr[-3000:]}")
    return time.monotonic() - began


def _command(target: str, variables: Mapping[str, str]) -> list[str]:
    if "MAKELEVEL" in os.environ:
        return ["make", "--silent", target, *(f"{name}={value}" for name, value in variables.items())]
    names = {"MODEL", "BUILD"}
    names |= {"DATA"} if target != "stop" else set()
    names |= {"HTTP_PORT", "GRPC_PORT", "REPLICAS"} if target == "deploy" else set()
    options = [
        word
        for name in sorted(names)
        if variables[name]
        for word in (f"--{name.lower().replace('_', '-')}", variables[name])
    ]
    return [sys.executable, "-m", "toolkit", target, *options]
