"""The whole pipeline in process, on one core: that of a release against other ways to answer the same images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable

from tests.bench import contestants
from tests.bench.figures import table
from tests.bench.worker import Missing, Worker
from toolkit import pipeline
from toolkit.data.labels import Sample
from toolkit.evaluation import metrics
from toolkit.evaluation.metrics import Counts
from toolkit.serving import release
from toolkit.spec import AGREEMENT, PipelineSpec

RELEASE = "the release"

Say = Callable[[str], None]


def run(
    directory: Path,
    spec: PipelineSpec,
    exports: Mapping[str, Path],
    samples: Sequence[Sample],
    labelled: bool,
    rounds: int,
    core: int,
    say: Say,
) -> dict[str, Any]:
    """`ways`, see `figures.table`, with `right`, the share of the labelled results; and `missing`, texts.

    Args:
        labelled: whether the samples have labels; else, or where the pipeline is not judged by them, there is no
            `right`.
        rounds: after one that warms up.
    """
    with ExitStack() as stack:
        entered: dict[str, Worker] = {}
        missing = []
        for name, make, *arguments in _field(directory, spec, exports):
            say(f"loading {name}")
            try:
                entered[name] = stack.enter_context(Worker(contestants.timed, (make, *arguments), core))
            except Missing as error:
                missing.append(f"{name}: {error}")
        judging = spec if labelled and spec.judge != AGREEMENT else None
        seconds, counts = _compete(entered, samples, rounds, judging, say)
    ways = table(seconds, RELEASE)
    for name, found in counts.items():
        ways[name]["right"] = found.matched / max(1, found.truth)
    return {"ways": ways, "missing": missing}


def _field(directory: Path, spec: PipelineSpec, exports: Mapping[str, Path]) -> Iterator[tuple[Any, ...]]:
    yield RELEASE, contestants.of_release, directory
    spare = release.variant(directory, release.FP32)
    if spare != directory:
        yield "its FP32 variant", contestants.of_release, spare
    yield "FP32 as exported, one by one", contestants.as_exported, directory, dict(exports)
    yield from contestants.OTHERS.get(spec.name, ())


def _compete(
    entered: Mapping[str, Callable[[Path], tuple[float, Any]]],
    samples: Sequence[Sample],
    rounds: int,
    spec: PipelineSpec | None,
    say: Say,
) -> tuple[dict[str, list[list[float]]], dict[str, Counts]]:
    """Seconds by contestant, image and round, and how much each has right, as the judge of `spec` counts."""
    judge = pipeline.resolve(spec.directory, spec.judge)(spec.judge_options) if spec else None
    seconds: dict[str, list[list[float]]] = {who: [[] for _ in samples] for who in entered}
    counts: dict[str, list[Counts]] = {who: [] for who in entered}
    order = list(entered)
    for number in range(-1, rounds):
        for index, sample in enumerate(samples):
            turn = (index + number) % len(order)
            for who in order[turn:] + order[:turn]:
                spent, answer = entered[who](sample.image)
                if number >= 0:
                    seconds[who][index].append(spent)
                elif judge:
                    counts[who].append(judge.counts(sample, answer))
        say(f"pipelines: round {number + 1} of {rounds}" if number >= 0 else "pipelines: warm")
    return seconds, {who: metrics.total(all_) for who, all_ in counts.items() if all_}
