"""What each model of a release is fed for an image: as it is served, and one item in each inference."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.bench import contestants
from toolkit import pipeline
from toolkit.engines import model
from toolkit.engines.options import PredictorOptions
from toolkit.pipeline import Arrays
from toolkit.serving import release
from toolkit.serving.format import SERVER

Shapes = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Feed:
    """The arrays of one inference, in a file; `shapes` by input."""

    file: Path
    shapes: Shapes

    @property
    def size(self) -> int:
        """Elements of all arrays."""
        return sum(int(np.prod(shape)) for _, shape in self.shapes)


@dataclass(frozen=True)
class Fed:
    """Of one image and one model: the feeds as it is served, and with each item by itself."""

    served: tuple[Feed, ...]
    alone: tuple[Feed, ...]


def of_images(directory: Path, folder: Path) -> Callable[[Path], dict[str, Fed]]:
    """What the models of the release in `directory` are fed for an image, by step; the arrays are kept in `folder`."""
    plan, code = release.read(directory), directory / release.PIPELINE_DIR
    decode = pipeline.resolve(code, plan.request)
    made = [(item, pipeline.resolve(code, item.step)) for item in plan.steps]
    steps = [
        (
            item.name,
            make(item.options),
            make(contestants.alone(item.options)),
            model.load(directory / release.MODELS_DIR / item.model / SERVER, item.predictor_options),
        )
        for item, make in made
    ]

    def do(image: Path) -> dict[str, Fed]:
        payload = decode({"image": image.read_bytes()}, plan.request_options)
        fed = {}
        for name, step, single, run in steps:
            # A step may leave something in its payload.
            alone = single.preprocess(dict(payload))
            served = step.preprocess(payload)
            place = folder / f"{image.stem}-{name}"
            fed[name] = Fed(
                _kept(served, place.with_name(f"{place.name}-served")),
                _kept(alone, place.with_name(f"{place.name}-alone")),
            )
            payload = step.postprocess(payload, [run(feed) for feed in served])
        return fed

    return do


def _kept(feeds: Sequence[Arrays], place: Path) -> tuple[Feed, ...]:
    kept = []
    for number, feed in enumerate(feeds):
        file = place.with_name(f"{place.name}-{number}.npz")
        np.savez(file, **dict(feed))
        kept.append(Feed(file, tuple((name, tuple(array.shape)) for name, array in feed.items())))
    return tuple(kept)


def typical(feeds: Sequence[Feed], count: int) -> list[Feed]:
    """A feed of each of the `count` shapes that the models meet most; of as frequent ones, that of middle size."""
    frequency = Counter(feed.shapes for feed in feeds)
    middle = float(np.median([feed.size for feed in feeds]))
    first = {feed.shapes: feed for feed in reversed(feeds)}
    ranked = sorted(first.values(), key=lambda feed: (-frequency[feed.shapes], abs(feed.size - middle)))
    return ranked[:count]


def inference(directory: Path, options: PredictorOptions) -> Callable[[Sequence[Path]], float]:
    """Seconds that the model in `directory` takes for the feeds in files, one after the other, without reading them."""
    run = model.load(directory, options)

    def do(files: Sequence[Path]) -> float:
        spent = 0.0
        for file in files:
            with np.load(file) as arrays:
                feed = dict(arrays)
            began = time.perf_counter()
            run(feed)
            spent += time.perf_counter() - began
        return spent

    return do
