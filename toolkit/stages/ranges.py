"""ranges: which shapes a model meets, as TensorRT wants them: the least, the greatest, and those to be fast at.

From the calibration data by the step's preprocessing alone, and from the shapes that the step lists for its warm-up. A
feed beyond them is beyond what TensorRT builds for.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from toolkit import child, pipeline
from toolkit.child import Progress
from toolkit.data import dataset
from toolkit.errors import DataError
from toolkit.evaluation import judges
from toolkit.stages import dataset as dataset_stage
from toolkit.stages import shapes
from toolkit.stages.context import Context
from toolkit.store.artifact import Artifact

MIN, OPT, MAX = "min_input_shape", "opt_input_shape", "max_input_shape"

Shape = dict[str, list[int]]


def run(context: Context, name: str) -> Artifact:
    """The ranges of the model `name`: under `MIN`, `OPT` and `MAX`, a shape for each input.

    Raises:
        DataError: the calibration data yields no feed.
    """
    data = dataset_stage.run(context)
    step = context.step_of(name)
    arguments = {**step, "data": str(data.directory)}
    log = context.logs / f"ranges-{name}.log"
    return context.artifact(
        "ranges",
        name,
        {
            "data": data.digest,
            "pipeline": context.pipeline_code(),
            "step": [step["step"], step["judge"]],
        },
        (Path(__file__), Path(shapes.__file__)),
        lambda target, progress: dict(
            child.call("toolkit.stages.ranges:observe", arguments, log=log, progress=progress)
        ),
    )


def observe(
    pipeline_dir: str,
    step: tuple[str, Mapping[str, Any]],
    judge: tuple[str, Mapping[str, Any]],
    data: str,
    progress: Progress,
) -> dict[str, Shape]:
    """In the child: run the preprocessing over the calibration samples; see `of`."""
    (reference, options), code = step, Path(pipeline_dir)
    samples = dataset.load(Path(data)).calibration
    seen = shapes.look(
        pipeline.resolve(code, reference)(options), judges.make(code, judge), samples, progress
    )
    if not seen.feeds:
        raise DataError(
            "the calibration data yields no feed",
            where=data,
            remedy="give images that the model has something to infer in",
        )
    return of(map(json.loads, seen.feeds), map(json.loads, seen.listed or ()))


def of(met: Iterable[Shape], listed: Iterable[Shape]) -> dict[str, Shape]:
    """The ranges of shapes.

    Args:
        met: at least one; the most frequent is to be fast.
        listed: further ones.
    """
    feeds = list(met)
    counts = Counter(json.dumps(item, sort_keys=True) for item in feeds)
    everything = [*feeds, *listed]
    return {
        MIN: _extreme(min, everything),
        OPT: json.loads(counts.most_common(1)[0][0]),
        MAX: _extreme(max, everything),
    }


def _extreme(choose: Callable[..., int], everything: list[Shape]) -> Shape:
    return {
        name: [choose(sides) for sides in zip(*(item[name] for item in everything))] for name in everything[0]
    }
