"""python -m tests.bench [--release DIR] [--data DIR] [--images N] [--rounds N] [--seconds S] [--json]

How long an image takes in process on one core: the pipeline of a rendered release, its FP32 variant, the models as
they were exported, and RapidOCR on each engine that is installed (`pip install rapidocr-openvino
rapidocr-onnxruntime`). Each has a process of its own, and they take turns with each image, after one round that does
not count. With --data, a directory with validation.txt in PaddleOCR's label format, the share of lines that each reads
right stands beside.

With --seconds also how many images a second the service answers through HTTP, saturated, and how many as many
pipelines do in process as it has replicas: one for each core.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests import rendered
from tests.bench import contestants, saturation
from tests.bench.contestants import PIPELINES, Contestant, Missing
from tests.bench.figures import table
from toolkit import cpu, pipeline
from toolkit.data import labels
from toolkit.data.labels import Sample
from toolkit.errors import ToolkitError
from toolkit.evaluation import metrics
from toolkit.serving import release
from toolkit.spec.load import load

RELEASE = "the release"


def main(argv: list[str] | None = None) -> int:
    """Measure; the exit code."""
    options = _options(argv)
    try:
        found = run(options)
    except ToolkitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(json.dumps(found, indent=2) if options.json else "\n".join(_text(found)))
    return 0


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    samples = (
        list(labels.read(options.data / "validation.txt"))
        if options.data
        else [Sample(path.name, path, ()) for path, _ in release.goldens(options.release)]
    )[: options.images]
    core = max(os.sched_getaffinity(0))
    with ExitStack() as stack:
        entered: dict[str, Contestant] = {}
        missing = []
        for name, make, argument in _field(options.release, options.model):
            _say(f"loading {name}")
            try:
                entered[name] = stack.enter_context(Contestant(make, argument, core))
            except Missing as error:
                missing.append(f"{name}: {error}")
        seconds, counts = _compete(entered, samples, options.rounds, options.model)
    rows: dict[str, dict[str, Any]] = table(seconds, RELEASE)
    if options.data:
        for name, row in rows.items():
            row["recall"] = counts[name].matched / max(1, counts[name].truth)
    saturated = None
    if options.seconds:
        _say("the service and its pipeline in process, saturated")
        saturated = saturation.compare(
            options.release,
            [sample.image for sample in samples],
            sorted(os.sched_getaffinity(0)),
            options.clients,
            options.seconds,
            options.rounds,
        )
    return {
        "machine": {
            "cpu": cpu.model(),
            "level": cpu.level(),
            "bf16": cpu.supports_bf16(),
            "cores": cpu.cores(),
        },
        "release": str(options.release),
        "images": len(samples),
        "rounds": options.rounds,
        "in_process": rows,
        "saturated": saturated,
        "missing": missing,
    }


def _field(directory: Path, name: str) -> Iterator[tuple[str, Any, str]]:
    yield RELEASE, contestants.of_release, str(directory)
    if (directory / "fp32" / release.RELEASE_FILE).is_file():
        yield "its FP32 variant", contestants.of_release, str(directory / "fp32")
    yield "FP32 as exported, line by line", contestants.as_exported, name
    for engine in ("openvino", "onnxruntime", "paddle"):
        yield f"RapidOCR on {engine}", contestants.rapidocr, engine


def _compete(
    entered: Mapping[str, Contestant], samples: list[Sample], rounds: int, name: str
) -> tuple[dict[str, list[list[float]]], dict[str, metrics.Counts]]:
    """Seconds by contestant, image and round, and how much each has right."""
    spec = load(PIPELINES, name)
    judge = pipeline.resolve(spec.directory, spec.judge)(spec.judge_options)
    seconds: dict[str, list[list[float]]] = {who: [[] for _ in samples] for who in entered}
    counts: dict[str, list[metrics.Counts]] = {who: [] for who in entered}
    order = list(entered)
    for number in range(-1, rounds):
        for index, sample in enumerate(samples):
            turn = (index + number) % len(order)
            for who in order[turn:] + order[:turn]:
                spent, lines = entered[who](sample.image)
                if number < 0:
                    counts[who].append(judge.counts(sample, {"lines": lines}))
                else:
                    seconds[who][index].append(spent)
        _say(f"round {number + 1} of {rounds}" if number >= 0 else "warm")
    return seconds, {who: metrics.total(all_) for who, all_ in counts.items()}


def _text(found: Mapping[str, Any]) -> Iterator[str]:
    machine = found["machine"]
    yield (
        f"{machine['cpu']}, {machine['level']}{', bf16' if machine['bf16'] else ''}; one core; "
        f"{found['images']} images, {found['rounds']} rounds"
    )
    yield ""
    rows = found["in_process"]
    with_recall = all("recall" in row for row in rows.values())
    yield f"| in process | ms an image | times the release's (95 %) |{' lines right |' if with_recall else ''}"
    yield f"|---|---|---|{'---|' if with_recall else ''}"
    for name, row in rows.items():
        times = f"{row['times']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
        right = f" {row['recall']:.1%} |" if with_recall else ""
        yield f"| {name} | {row['milliseconds']:.0f} | {times} |{right}"
    yield from (f"left out: {text}" for text in found["missing"])
    if found["saturated"]:
        yield from ("", _saturated(found["saturated"]))


def _saturated(found: Mapping[str, Any]) -> str:
    rates = found["images_per_second"]
    shares = ", ".join(f"{share:.3f}" for share in found["shares"])
    return (
        f"saturated, {found['cores']} cores: the service answers {rates['service']:.2f} images a second to "
        f"{found['clients']} clients, in process it is {rates['in_process']:.2f}; "
        f"{found['share']:.3f} of that (by round: {shares})"
    )


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = rendered.parser("python -m tests.bench", __doc__)
    parser.add_argument("--data", type=Path, help="directory with validation.txt; default: the golden images")
    parser.add_argument("--images", type=int, default=20, help="at most so many")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--seconds", type=float, default=0, help="of each measurement of the service; default: none"
    )
    parser.add_argument("--clients", type=int, default=4, help="of the service")
    options = rendered.parsed(parser, argv, "images", "rounds", "clients")
    if options.data and not (options.data / "validation.txt").is_file():
        parser.error(f"there is no {options.data / 'validation.txt'}")
    return options


if __name__ == "__main__":
    sys.exit(main())
