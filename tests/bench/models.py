"""Each model of a release by itself: as it was exported, natively and in oneDNN, and as it is served."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import numpy as np

from tests.bench import contestants, feeds
from tests.bench.feeds import Fed
from tests.bench.figures import ratio
from tests.bench.worker import Worker
from toolkit.engines import model
from toolkit.engines.options import PredictorOptions
from toolkit.serving import release
from toolkit.serving.format import SERVER
from toolkit.serving.release import StepRelease

NATIVE, ONEDNN = "native FP32, as exported", "oneDNN FP32, as exported"
SERVED = "as served"
FP32_VARIANT = "FP32 variant"

# The row that is about all that an image feeds a model, on average; one item in each inference where it is exported.
ALL = "all feeds of an image"

# Of the most frequent shapes as many, and of each as many calls of each way, after as many that warm up.
_SHAPES, _CALLS = 2, 12

Say = Callable[[str], None]


@dataclass(frozen=True)
class Way:
    """A way to run a model.

    Attributes:
        exported: as it came out of the export, and one item in each inference where what is fed is all of an image.
    """

    name: str
    directory: Path
    options: PredictorOptions
    exported: bool


def run(
    directory: Path, exports: Mapping[str, Path], images: Sequence[Path], rounds: int, core: int, say: Say
) -> dict[str, Any]:
    """By step of the release in `directory`: `weights` and `rows`.

    `weights` has the bytes of the file as `exported` and as `served`. A row has `what`, a shape or `ALL`;
    `ways`, by name `milliseconds`, and `faster`, how many times as fast as native FP32, with `low` and `high`.

    Args:
        exports: by step, the model as it was exported.
        rounds: over all feeds of the images; the first one, which warms up, does not count.
    """
    plan = release.read(directory)
    with tempfile.TemporaryDirectory(prefix="bench-feeds-") as folder:
        say("what the models are fed")
        with Worker(feeds.of_images, (directory, Path(folder)), core) as feeder:
            fed = [feeder(image) for image in images]
        found = {}
        for item in plan.steps:
            ways = list(_ways(directory, item, exports[item.name]))
            say(f"{item.name}: {', '.join(way.name for way in ways)}")
            found[item.name] = {
                "weights": {
                    "exported": _weights(exports[item.name]),
                    "served": _weights(directory / release.MODELS_DIR / item.model / SERVER),
                },
                "rows": _rows(ways, [image[item.name] for image in fed], rounds, core),
            }
    return found


def _ways(directory: Path, item: StepRelease, exported: Path) -> Iterator[Way]:
    options = item.predictor_options
    yield Way(NATIVE, exported, contestants.plain(options, "native"), True)
    yield Way(ONEDNN, exported, contestants.plain(options), True)
    yield _served(directory, item, f"{name_of(item)}, {SERVED}")
    spare = release.variant(directory, release.FP32)
    if spare != directory:
        other = next(one for one in release.read(spare).steps if one.name == item.name)
        if other.digest != item.digest or other.predictor != item.predictor:
            yield _served(spare, other, FP32_VARIANT)


def name_of(item: StepRelease) -> str:
    """What a model is served in, as people say it."""
    return {"native": "native FP32", "bf16": "bf16"}.get(item.precision, item.precision.upper())


def _served(directory: Path, item: StepRelease, name: str) -> Way:
    return Way(
        name, directory / release.MODELS_DIR / item.model / SERVER, item.predictor_options, exported=False
    )


def _weights(directory: Path) -> int:
    return (directory / model.PARAMS_FILE).stat().st_size


def _rows(ways: Sequence[Way], fed: Sequence[Fed], rounds: int, core: int) -> list[dict[str, Any]]:
    served = [feed for image in fed for feed in image.served]
    if not served:
        return []
    with ExitStack() as stack:
        workers = {
            way: stack.enter_context(Worker(feeds.inference, (way.directory, way.options), core))
            for way in ways
        }
        rows = []
        for feed in feeds.typical(served, _SHAPES):
            seconds = in_turn(workers, [Fed((feed,), (feed,))] * _CALLS, 1)
            rows.append({"what": _named(feed), "ways": _figures(seconds)})
        if len({feed.shapes for feed in served}) > 1:
            rows.append({"what": ALL, "ways": _figures(in_turn(workers, fed, rounds))})
    return rows


def _named(feed: feeds.Feed) -> str:
    return " ".join("x".join(map(str, shape)) for _, shape in feed.shapes)


def in_turn(
    workers: Mapping[Way, Callable[[Sequence[Path]], float]], items: Sequence[Fed], rounds: int
) -> dict[str, list[list[float]]]:
    """Seconds by way, item and round: all ways at one item, then at the next; the round that comes first warms up."""
    seconds: dict[str, list[list[float]]] = {way.name: [[] for _ in items] for way in workers}
    order = list(workers)
    for number in range(-1, rounds):
        for index, item in enumerate(items):
            turn = (index + number) % len(order)
            for way in order[turn:] + order[:turn]:
                if number < 0 and index > 0 and way.options.backend == "native":
                    continue  # it compiles nothing for a shape, and takes longest: its first call is enough
                spent = workers[way]([feed.file for feed in (item.alone if way.exported else item.served)])
                if number >= 0:
                    seconds[way.name][index].append(spent)
    return seconds


def _figures(seconds: Mapping[str, list[list[float]]]) -> dict[str, Any]:
    figures = {}
    for name, times in seconds.items():
        faster, low, high = ratio(seconds[NATIVE], times)
        milliseconds = 1000 * float(np.mean([np.median(item) for item in times]))
        figures[name] = {"milliseconds": milliseconds, "faster": faster, "low": low, "high": high}
    return figures
