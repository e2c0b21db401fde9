"""profile: where the time of a request goes, by stage, by inference and by operator, of a release.

Nothing of it is an artifact: a time is worth something on the machine and in the hour in which it was taken.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from toolkit import child
from toolkit.console import Console
from toolkit.errors import DataError
from toolkit.evaluation.profile import ENVIRONMENT
from toolkit.serving import release
from toolkit.serving.format import SERVER
from toolkit.serving.release import MODELS_DIR, PIPELINE_DIR, Release, StepRelease

_TOP = 10

NATIVE_NOTE = "native FP32: Paddle's own kernels do not report their times, so its operators are not known"


def check_file(path: Path) -> Path:
    """The file at `path`; whether it is what the pipeline takes, that will tell.

    Raises:
        DataError: there is no such file, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise DataError(
            f"the file cannot be read: {error.strerror}",
            where=str(path),
            remedy="give the path of what the pipeline takes, as an image file",
        ) from error
    if empty:
        raise DataError(
            "the file is empty", where=str(path), remedy="give the path of what the pipeline takes"
        )
    return path.resolve()


def run(directory: Path, image: Optional[Path], rounds: int, logs: Path, console: Console) -> dict[str, Any]:
    """Profile the release in `directory`.

    Args:
        image: what to ask; None: the golden images of the release.
        rounds: how often each image is asked, after a warm-up.
        logs: where the output of child processes goes.

    Returns:
        `name`, `release`, `rounds`; `images`, for each `file` and `milliseconds`; `request`, see `tree`; `models`, by
        name: see `inferences`, `precision`, and `operators`, see `operators`, or None and a `note` why.

    Raises:
        DataError: the pipeline refuses the image.
        TemplateError: `directory` is no release.
    """
    plan = release.read(directory)
    images = [str(path) for path in ([image] if image else [path for path, _ in release.goldens(directory)])]
    arguments = {"way": way(directory, plan), "images": images, "rounds": rounds}
    with console.working("profile", f"{plan.name}-stages", "round") as progress:
        timed = child.call(
            "toolkit.evaluation.profile:time_requests",
            arguments,
            log=logs / "profile-stages.log",
            progress=progress,
        )["images"]
    observed: list[Any] = []
    if any(item.predictor_options.backend == "onednn" for item in plan.steps):
        with console.working("profile", f"{plan.name}-operators", "round") as progress:
            observed = child.call(
                "toolkit.evaluation.profile:observe",
                arguments,
                log=logs / "profile-operators.log",
                progress=progress,
                env=ENVIRONMENT,
            )["inferences"]
    files = [{"file": file, "milliseconds": _total(item)} for file, item in zip(images, timed)]
    return {
        "name": plan.name,
        "release": str(directory),
        "rounds": rounds,
        "images": files,
        "request": tree(timed),
        "models": {item.name: _model(item, timed, observed) for item in plan.steps},
    }


def way(directory: Path, plan: Release) -> dict[str, Any]:
    """What a request passes, as `toolkit.evaluation.profile` takes it."""
    return {
        "pipeline_dir": str(directory / PIPELINE_DIR),
        "accepts": plan.accepts,
        "request": [plan.request, plan.request_options],
        "response": plan.response,
        "steps": [
            {
                "name": item.name,
                "step": [item.step, item.options],
                "model_dir": str(directory / MODELS_DIR / item.model / SERVER),
                "options": item.predictor_options.to_json(),
            }
            for item in plan.steps
        ],
    }


def tree(timed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The stages of a request: of each image the median of the rounds, of these the mean over the images.

    Returns:
        A node: `name`, `milliseconds`, `share` of the whole request, and `parts`, nodes too, whose times add up to it.
    """
    times = {name: _mean(_median(item["stages"][name]) for item in timed) for name in timed[0]["stages"]}
    whole = sum(times.values())
    parts: dict[str, list[dict[str, Any]]] = {}
    for name, milliseconds in times.items():
        owner, _, part = name.partition(".")
        parts.setdefault(owner, []).append(_node(part or owner, milliseconds, whole, []))
    return _node("request", whole, whole, [_joined(owner, found, whole) for owner, found in parts.items()])


def _joined(owner: str, parts: list[dict[str, Any]], whole: float) -> dict[str, Any]:
    """The node of a stage: a model's with its parts, any other as it is."""
    if [part["name"] for part in parts] == [owner]:
        return parts[0]
    return _node(owner, sum(part["milliseconds"] for part in parts), whole, parts)


def _node(name: str, milliseconds: float, whole: float, parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "milliseconds": milliseconds, "share": _share(milliseconds, whole), "parts": parts}


def _model(item: StepRelease, timed: Sequence[Mapping[str, Any]], observed: Sequence[Any]) -> dict[str, Any]:
    mine = [entry for entry in observed if entry["model"] == item.name]
    native = item.predictor_options.backend == "native"
    note = NATIVE_NOTE if native else None if mine else "there was nothing to infer in these images"
    return {
        "precision": item.precision,
        **inferences([image["inferences"] for image in timed], item.name),
        "operators": operators(mine, len(timed)) if mine else None,
        "note": note,
    }


def inferences(by_image: Sequence[Sequence[Mapping[str, Any]]], name: str) -> dict[str, Any]:
    """The inferences of the model `name`.

    Args:
        by_image: all inferences of a request for each image.

    Returns:
        `inferences` of a request, on average; `milliseconds` of them; `shapes`, the most costly first: `inputs`,
        `batch`, `inferences` of a request, and `milliseconds` of one of them.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for item in (item for image in by_image for item in image if item["model"] == name):
        found.setdefault(json.dumps(item["shapes"]), []).append(item)
    images = len(by_image)
    shapes = [
        {
            "inputs": items[0]["shapes"],
            "batch": next(iter(items[0]["shapes"].values()))[0],
            "inferences": len(items) / images,
            "milliseconds": _mean(_median(item["seconds"]) for item in items),
        }
        for items in found.values()
    ]
    return {
        "inferences": sum(item["inferences"] for item in shapes),
        "milliseconds": sum(item["inferences"] * item["milliseconds"] for item in shapes),
        "shapes": sorted(shapes, key=lambda item: -item["inferences"] * item["milliseconds"]),
    }


def operators(observed: Sequence[Mapping[str, Any]], images: int) -> dict[str, Any]:
    """What the inferences of one model consist of, for a request on average.

    Args:
        observed: inferences of all images, as `toolkit.evaluation.profile.observe` gives them.

    Returns:
        `milliseconds` of the inferences, with oneDNN's report on. Their parts, each with `milliseconds` and `share`:
        `kinds`, with `kind`, `dtype` and `calls`; `made`, primitives that were made anew, with `calls`; `outside`, what
        oneDNN does not report. And `layers`, the convolutions and matrix products that take most: `name` (None: not
        known), `kind`, `dtype`, `implementation`, `source` (shape, that of the longest call), `weight` (shape),
        `calls`, `milliseconds` and `share`.
    """
    found = [item for inference in observed for item in inference["operators"]]
    made = {key: sum(item["made"][key] for item in observed) / images for key in ("calls", "milliseconds")}
    outside = sum(item["outside"] for item in observed) / images
    whole = sum(item["milliseconds"] for item in found) / images + made["milliseconds"] + outside
    kinds = [
        {"kind": items[0]["kind"], "dtype": items[0]["dtype"], **_cost(items, images, whole)}
        for items in _grouped(found, "kind", "dtype")
    ]
    layers = [
        {**_layer(items), **_cost(items, images, whole)}
        for items in _grouped([item for item in found if item["heavy"]], "name", "kind", "dtype", "weight")
    ]
    return {
        "milliseconds": whole,
        "kinds": sorted(kinds, key=_costly),
        "made": {**made, "share": _share(made["milliseconds"], whole)},
        "outside": {"milliseconds": outside, "share": _share(outside, whole)},
        "layers": sorted(layers, key=_costly)[:_TOP],
    }


def _grouped(items: Iterable[Mapping[str, Any]], *keys: str) -> list[list[Mapping[str, Any]]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for item in items:
        groups.setdefault(json.dumps([item[key] for key in keys]), []).append(item)
    return list(groups.values())


def _cost(items: Sequence[Mapping[str, Any]], images: int, whole: float) -> dict[str, Any]:
    milliseconds = sum(item["milliseconds"] for item in items) / images
    return {"calls": len(items) / images, "milliseconds": milliseconds, "share": _share(milliseconds, whole)}


def _costly(item: Mapping[str, Any]) -> float:
    return -float(item["milliseconds"])


def _layer(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    longest = max(items, key=lambda item: float(item["milliseconds"]))
    told = {key: longest[key] for key in ("name", "kind", "dtype", "implementation", "weight")}
    return {**told, "source": source_of(longest["problem"])}


def source_of(problem: str) -> list[int]:
    """The shape of the first input, as oneDNN's problem has it: `mb1_ic3oc8_ih32...` or `4x8:8x2`; empty: not known."""
    product = re.match(r"\d+(?:x\d+)+(?=:)", problem)
    if product:
        return [int(side) for side in product[0].split("x")]
    sizes = dict(re.findall(r"([a-z]+)(\d+)", problem))
    return [int(sizes[name]) for name in ("mb", "ic", "id", "ih", "iw") if name in sizes]


def _median(seconds: Sequence[float]) -> float:
    """In milliseconds."""
    return statistics.median(seconds) * 1000


def _mean(values: Iterable[float]) -> float:
    return statistics.fmean(values)


def _total(image: Mapping[str, Any]) -> float:
    return sum(map(_median, image["stages"].values()))


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
