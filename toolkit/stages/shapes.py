"""shapes: what a step's feeds look like on the calibration data, and to which few sizes it would best pad.

Nothing of it is an artifact, and it changes nothing: the gate measures with what stands in the spec.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from toolkit import child, pipeline
from toolkit.child import Progress
from toolkit.data import dataset
from toolkit.data.labels import Sample
from toolkit.errors import DataError, SpecError
from toolkit.evaluation import buckets, judges
from toolkit.pipeline import Judge, Padded, Shaped, Shapes, Step
from toolkit.stages import dataset as dataset_stage
from toolkit.stages.context import Context

_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def run(context: Context, name: str, count: Optional[int] = None) -> dict[str, Any]:
    """What the step of the model `name` makes of the calibration data.

    Args:
        count: buckets to look for; None: as many as stand in the spec.

    Returns:
        See `observe`.

    Raises:
        DataError: the calibration data yields no feed.
        SpecError: the spec lacks the list of what the step pads to.
    """
    data = dataset_stage.run(context)
    arguments = {**context.step_of(name), "data": str(data.directory), "count": count}
    log = context.logs / f"shapes-{name}.log"
    with context.console.working("shapes", name) as progress:
        return dict(child.call("toolkit.stages.shapes:observe", arguments, log=log, progress=progress))


def observe(
    pipeline_dir: str,
    step: tuple[str, Mapping[str, Any]],
    judge: tuple[str, Mapping[str, Any]],
    data: str,
    count: Optional[int],
    progress: Progress,
) -> dict[str, Any]:
    """In the child: run the step's preprocessing over the calibration samples, each with the truth as its payload.

    Returns:
        `samples` and `inferences`, their numbers; `met`, the shapes of the feeds, the most frequent first: `shapes` by
        input, `count`, and whether the step has them `listed`; `listed`, how many it lists, and what of that is
        `covered`, see `_covered`, both None for a step that is not `Shaped`; `padded`, for each option of one that is
        `Padded`: how many `sizes`, their `quantiles`, the `table` of padding by number of buckets, and what those in
        the spec and the best cost, `present` and `best`: see `_cost`.
    """
    (reference, options), code = step, Path(pipeline_dir)
    make = pipeline.resolve(code, reference)
    truth = judges.make(code, judge)
    samples = dataset.load(Path(data)).calibration
    seen = look(make(options), truth, samples, progress)
    if not seen.feeds:
        raise DataError(
            "the calibration data yields no feed",
            where=data,
            remedy="give images that the model has something to infer in",
        )
    padded = {}
    for name, sizes in seen.sizes.items():
        present = _present(options, name, reference)
        table = buckets.best(sizes, present[-1], max(count or 0, len(present)), math.gcd(*present))
        best = table[min(count or len(present), len(table)) - 1].sizes
        other = look(make({**options, name: list(best)}), truth, samples, progress)
        padded[name] = {
            "sizes": len(sizes),
            "quantiles": [[share, int(np.quantile(sizes, share))] for share in _QUANTILES],
            "table": [[len(item.sizes), item.padding] for item in table],
            "present": _cost(present, sizes, seen),
            "best": _cost(best, sizes, other),
        }
    listed = seen.listed
    return {
        "samples": len(samples),
        "inferences": len(seen.feeds),
        "met": [
            {"shapes": json.loads(key), "count": number, "listed": key in (listed or ())}
            for key, number in Counter(seen.feeds).most_common()
        ],
        "listed": None if listed is None else len(listed),
        "covered": None if listed is None else _covered(listed, seen.feeds),
        "padded": padded,
    }


@dataclass(frozen=True)
class Seen:
    """What a step made of samples.

    Attributes:
        feeds: their shapes, each as JSON.
        values: how many there are in all feeds.
        sizes: of `Padded`; empty for another step.
        listed: by `Shaped`, as JSON; None for another step.
    """

    feeds: list[str]
    values: int
    sizes: dict[str, list[int]]
    listed: Optional[list[str]]


def look(step: Step, judge: Judge, samples: Sequence[Sample], progress: Progress) -> Seen:
    """Run the step's preprocessing over samples."""
    feeds: list[str] = []
    values = 0
    sizes: dict[str, list[int]] = {}
    for done, sample in enumerate(samples, start=1):
        payload = judge.payload(sample)
        if isinstance(step, Padded):
            for name, found in step.sizes(payload).items():
                sizes.setdefault(name, []).extend(found)
        for feed in step.preprocess(payload):
            feeds.append(_key({name: array.shape for name, array in feed.items()}))
            values += sum(array.size for array in feed.values())
        progress(done, len(samples))
    listed = [_key(item) for item in step.shapes()] if isinstance(step, Shaped) else None
    return Seen(feeds, values, sizes, listed)


def _covered(listed: Sequence[str], feeds: Sequence[str]) -> list[list[float]]:
    """For each quarter of the list: how many shapes it ends at, and the share of the feeds that have one of them."""
    ends = sorted({len(listed) * quarter // 4 for quarter in (1, 2, 3, 4)} - {0})
    counts = Counter(feeds)
    return [[end, sum(counts[key] for key in listed[:end]) / len(feeds)] for end in ends]


def _key(shapes: Shapes) -> str:
    return json.dumps({name: list(shape) for name, shape in sorted(shapes.items())})


def _present(options: Mapping[str, Any], name: str, step: str) -> list[int]:
    """The buckets in the spec."""
    if not options.get(name):
        raise SpecError(
            f"the options of the step {step} lack the list `{name}`",
            remedy="write it into the pipeline spec: what it says by default is known to the step alone",
        )
    return sorted(options[name])


def _cost(chosen: Sequence[int], sizes: Sequence[int], seen: Seen) -> dict[str, Any]:
    """What buckets cost: `padding`, a share of the sizes; `inferences`, `values` fed and different `shapes` of them."""
    return {
        "buckets": list(chosen),
        "padding": buckets.loss(sizes, chosen),
        "inferences": len(seen.feeds),
        "values": seen.values,
        "shapes": len(set(seen.feeds)),
    }
