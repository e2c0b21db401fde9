"""profile-model: what one model's inferences consist of, as it was exported and as it is served.

Both meet the same feeds: those that the release makes of the images, in which only this model is another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, Optional

from toolkit import child
from toolkit.engines.options import PredictorOptions
from toolkit.errors import DataError, ModelError
from toolkit.evaluation.profile import ENVIRONMENT
from toolkit.serving import release
from toolkit.stages import export, profile
from toolkit.stages.context import Context

_NAMES = {"native": "native FP32", "openvino": "OpenVINO"}


def run(context: Context, directory: Path, step: str, image: Optional[Path], rounds: int) -> dict[str, Any]:
    """Profile the model of `step` in the release in `directory`, and the one that it was made from.

    Args:
        image: what to ask; None: the golden images of the release.
        rounds: how often each image is asked, after a warm-up; a few are enough.

    Returns:
        `name`, `step`, `precision`, `threads`, `release`, `rounds`, `images`; `before` and `after`, see
        `profile.operators`; `rows`, see `side_by_side`.

    Raises:
        DataError: the images give this model nothing to infer.
        ModelError: it is not served in oneDNN under Paddle, which alone reports its operators here.
        TemplateError: `directory` is no release.
    """
    plan = release.read(directory)
    item = next(item for item in plan.steps if item.name == step)
    options = item.predictor_options
    if options.backend != "onednn":
        raise ModelError(
            f"{step} is served in {_NAMES[options.backend]}, and oneDNN under Paddle is what can be reported on",
            where=str(directory),
            remedy="profile a release in which it is served in oneDNN, without `openvino` in `engines` of the pipeline "
            "spec; `make profile` times any",
        )
    served = profile.way(directory, plan)
    plain = PredictorOptions(backend="onednn", threads=options.threads, cache_capacity=options.cache_capacity)
    exported = {"model_dir": str(export.run(context, step).path), "options": plain.to_json()}
    ways = {"before": _with(served, step, exported), "after": served}
    images = [str(path) for path in ([image] if image else [path for path, _ in release.goldens(directory)])]
    found = {name: _operators(context, way, step, images, rounds, name) for name, way in ways.items()}
    return {
        "name": plan.name,
        "step": step,
        "precision": item.precision,
        "threads": options.threads,
        "release": str(directory),
        "rounds": rounds,
        "images": images,
        **found,
        "rows": side_by_side(found["before"], found["after"]),
    }


def _with(way: Mapping[str, Any], step: str, changed: Mapping[str, Any]) -> dict[str, Any]:
    """The way of a request, with other settings of one step."""
    steps = [{**item, **changed} if item["name"] == step else item for item in way["steps"]]
    return {**way, "steps": steps}


def _operators(
    context: Context, way: Mapping[str, Any], step: str, images: list[str], rounds: int, name: str
) -> dict[str, Any]:
    with context.console.working("profile", f"{step}-{name}", "round") as progress:
        observed = child.call(
            "toolkit.evaluation.profile:observe",
            {"way": way, "images": images, "rounds": rounds},
            log=context.logs / f"profile-{step}-{name}.log",
            progress=progress,
            env=ENVIRONMENT,
        )["inferences"]
    mine = [item for item in observed if item["model"] == step]
    if not mine:
        raise DataError(
            f"there was nothing for {step} to infer",
            where=", ".join(images),
            remedy="give an image in which it has something to do",
        )
    return profile.operators(mine, len(images))


def side_by_side(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The kinds of operators, the most costly first; of each the data types that there are, before and after.

    Returns:
        For each: `kind`, and `before` and `after`, an entry of `profile.operators`'s `kinds` or None.
    """
    kinds: dict[str, tuple[list[Any], list[Any]]] = {}
    for place, side in enumerate((before, after)):
        for item in side["kinds"]:
            kinds.setdefault(item["kind"], ([], []))[place].append(item)
    ordered = sorted(kinds.items(), key=lambda item: -max(map(_milliseconds, item[1])))
    return [
        {"kind": kind, "before": first, "after": second}
        for kind, sides in ordered
        for first, second in zip_longest(*sides)
    ]


def _milliseconds(items: list[Any]) -> float:
    return float(sum(item["milliseconds"] for item in items))
