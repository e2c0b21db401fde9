"""One target for some time: what it may raise, how long an input may take, how much memory all of them may."""

from __future__ import annotations

import hashlib
import random
import resource
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from tests.fuzz.mutate import mutated

SLOWEST = 2.0  # seconds of processor time for one input
LARGEST = 1 << 30  # bytes of memory that a target may have grown by

_KEPT = 2000


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes:
        parse: takes bytes as a client would send them.
        expected: what it may raise; anything else is a crash.
        seeds: right and nearly right inputs.
    """

    name: str
    parse: Callable[[bytes], object]
    expected: tuple[type[Exception], ...]
    seeds: Sequence[bytes]


@dataclass(frozen=True)
class Outcome:
    """What came of it: inputs that were tried, different ends that they had, and the one that went wrong."""

    target: str
    executions: int
    seconds: float
    corpus: int
    crash: Optional[str] = None
    input: Optional[bytes] = None


def run(target: Target, seconds: float, seed: int) -> Outcome:
    """Try inputs until the time is over or one goes wrong.

    An input that ends in a way of its own (another error text, other lines passed) joins the corpus: the errors of our
    parsers name the place, so they stand for coverage.
    """
    rng, corpus, ends = random.Random(seed), list(target.seeds), set[str]()
    began, memory, tried = time.monotonic(), _memory(), 0
    pending = list(target.seeds)
    while time.monotonic() - began < seconds:
        data = pending.pop() if pending else mutated(rng, corpus)
        tried += 1
        end, crash = _try(target, data)
        if crash is None and _memory() - memory > LARGEST:
            crash = f"memory grew by {(_memory() - memory) >> 20} MB"
        if crash is not None:
            return Outcome(target.name, tried, time.monotonic() - began, len(corpus), crash, data)
        if end not in ends:
            ends.add(end)
            corpus.append(data)
            del corpus[len(target.seeds) : -_KEPT]
    return Outcome(target.name, tried, time.monotonic() - began, len(corpus))


def _try(target: Target, data: bytes) -> tuple[str, Optional[str]]:
    """How it ended, and what was wrong with that."""
    began, end = time.process_time(), "fine"
    try:
        target.parse(data)
    except target.expected as error:
        end = _end(error)
    except Exception:
        return "", traceback.format_exc()
    seconds = time.process_time() - began
    return end, f"took {seconds:.1f} s" if seconds > SLOWEST else None


def _end(error: Exception) -> str:
    """The kind of an error and where it came from, without the numbers that each input brings."""
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    return hashlib.sha256(repr((type(error), frames)).encode()).hexdigest()


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def keep(outcome: Outcome, directory: Path) -> Path:
    """Write the input that went wrong; its path."""
    data = outcome.input or b""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{outcome.target}-{hashlib.sha256(data).hexdigest()[:16]}"
    path.write_bytes(data)
    return path
