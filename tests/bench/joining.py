"""python -m tests.bench.joining --data DIR [--release DIR] [--images N] [--rounds N] [--lines N]

What it would save to read the lines of two requests together: the recognizer's batches cut from the lines of both,
against those of each, in turn and in one thread. The times are the thread's processor time, which others who use the
processor change least. --lines takes so many lines of each image; default: all.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from typing_extensions import Protocol

from tests import rendered
from toolkit import pipeline
from toolkit.data import labels
from toolkit.engines import model
from toolkit.serving import release
from toolkit.serving.format import SERVER

Crops = list[Any]
Texts = Sequence[tuple[str, float]]


class Reading(Protocol):
    """Reads lines."""

    def read(self, crops: Crops) -> tuple[float, int, Texts]:
        """Seconds of inference, the number of inferences, and text and score of each line."""


@dataclass(frozen=True)
class Compared:
    """
    Attributes:
        inferences: for the lines of the first, of the second, of both together.
        ratios: of each round, the time of both together to that of each by itself.
        other_texts, other_scores: lines that are read otherwise together.
    """

    inferences: tuple[int, int, int]
    ratios: Sequence[float]
    other_texts: int
    other_scores: int


class Reader:
    """A release whose last step reads the `crops` of a payload into its `texts`, in this process."""

    def __init__(self, directory: Path) -> None:
        plan = release.read(directory)
        code = directory / release.PIPELINE_DIR
        self._decode = pipeline.resolve(code, plan.request)
        self._options = plan.request_options
        *self._before, (self._step, self._infer) = [
            (
                pipeline.resolve(code, item.step)(item.options),
                model.load(directory / release.MODELS_DIR / item.model / SERVER, item.predictor_options),
            )
            for item in plan.steps
        ]

    def crops(self, image: bytes) -> Crops:
        """The lines of an image, cut out."""
        payload = self._decode({"image": image}, self._options)
        for step, infer in self._before:
            payload = pipeline.run_step(step, infer, payload)
        self._step.preprocess(payload)
        return list(payload["crops"])

    def read(self, crops: Crops) -> tuple[float, int, Texts]:
        """See `Reading`; the seconds are the thread's processor time."""
        payload: pipeline.Payload = {"crops": crops}
        feeds = self._step.preprocess(payload)
        began = time.thread_time()
        outputs = [self._infer(feed) for feed in feeds]
        seconds = time.thread_time() - began
        return seconds, len(feeds), self._step.postprocess(payload, outputs)["texts"]


def main(argv: list[str] | None = None) -> int:
    """Measure pair after pair; the exit code."""
    options = _options(argv)
    reader = Reader(options.release)
    samples = list(labels.read(options.data / "validation.txt"))[: options.images]
    lines = [reader.crops(sample.image.read_bytes())[: options.lines] for sample in samples]
    print(
        "| lines | inferences | times as long together | other texts | other scores |\n|---|---|---|---|---|"
    )
    for first, second in zip(lines[::2], lines[1::2]):
        print(_row(first, second, compared(reader, first, second, options.rounds)), flush=True)
    return 0


def compared(reader: Reading, first: Crops, second: Crops, rounds: int) -> Compared:
    """The lines of two requests read together, and each by itself, in turn after one round that does not count."""
    ratios = []
    for number in range(-1, rounds):
        apart = reader.read(first), reader.read(second)
        together = reader.read(first + second)
        if number >= 0:
            ratios.append(together[0] / (apart[0][0] + apart[1][0]))
    pairs = list(zip([*apart[0][2], *apart[1][2]], together[2]))
    return Compared(
        inferences=(apart[0][1], apart[1][1], together[1]),
        ratios=ratios,
        other_texts=sum(one[0] != other[0] for one, other in pairs),
        other_scores=sum(one[1] != other[1] for one, other in pairs),
    )


def _row(first: Crops, second: Crops, found: Compared) -> str:
    one, other, together = found.inferences
    ratios = found.ratios
    cells = (
        f"{len(first)} + {len(second)}",
        f"{one} + {other} -> {together}",
        f"{median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})",
        str(found.other_texts),
        str(found.other_scores),
    )
    return f"| {' | '.join(cells)} |"


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = rendered.parser("python -m tests.bench.joining", __doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory with validation.txt")
    parser.add_argument("--images", type=int, default=8, help="at most so many")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lines", type=int, help="of each image, at most; default: all")
    return rendered.parsed(parser, argv, "images", "rounds")


if __name__ == "__main__":
    sys.exit(main())
