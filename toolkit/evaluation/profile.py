"""The way of a request through a release with a clock on it: its stages, and the operators of its inferences.

What works is what the replica works with: the pipeline's own objects, our predictor with the options that are served,
one thing after the other in one thread. These functions run in child processes, each in one of its own: oneDNN reads
when it is loaded whether it is to report, and reporting takes time.
"""

from __future__ import annotations

import base64
import json
import re
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, Union

from toolkit import pipeline
from toolkit.child import Progress
from toolkit.content import read
from toolkit.content.kinds import FIELDS, Kind
from toolkit.content.read import ContentError
from toolkit.engines import executed, kernels, model, verbose
from toolkit.engines.executed import Step
from toolkit.engines.options import PredictorOptions
from toolkit.engines.predictor import Feed, Fetch, Predictor
from toolkit.engines.verbose import Primitive
from toolkit.errors import DataError
from toolkit.pipeline import RequestError

# What a request passes: `pipeline_dir`, `accepts`, `request` (reference and options), `steps` and `response`. Of each
# step `name`, `step` (reference and options), `model_dir` and `options` of the predictor.
Way = Mapping[str, Any]

# Beside what was executed, level 2 reports what was made anew for that: a primitive that has left oneDNN's cache
# (`predictor.py` says how many it keeps) is compiled again, which may take longer than its work.
ENVIRONMENT = dict.fromkeys(kernels.VERBOSE_ENVIRONMENT, "2")

_MADE = re.compile(r"(?:onednn|dnnl)_verbose,(?:[\d.]+,)?create:cache_miss,.*,(\d+(?:\.\d+)?(?:e-?\d+)?)\s*$")

_DATA = re.compile(r"\bdata_([a-z0-9]+):")
_TYPES = {"u8": "int8", "s8": "int8", "f32": "fp32"}

# A layer has the same work in every round, so a few tell.
_OBSERVED_ROUNDS = 5


def time_requests(way: Way, images: Sequence[str], rounds: int, progress: Progress) -> dict[str, Any]:
    """Answer each image `rounds` times after a warm-up, and say how long each stage took.

    Args:
        images: files.

    Returns:
        `images`, for each: `stages`, the seconds of each stage by round, and `inferences` in their order: `model`,
        `shapes` by input, and `seconds` by round.

    Raises:
        DataError: the pipeline refuses an image.
    """
    loaded = _Loaded(way)
    passes: list[list[Watch]] = []
    for done in range(rounds + 1):
        passes.append([loaded.answer(Path(image), Watch()) for image in images])
        progress(done + 1, rounds + 1)
    return {"images": [_record(watches) for watches in zip(*passes[1:])]}


def observe(way: Way, images: Sequence[str], rounds: int, progress: Progress) -> dict[str, Any]:
    """Answer each image and note what oneDNN reports; must run with `ENVIRONMENT`.

    Returns:
        `inferences` of all models that run in oneDNN: `model`; `operators`, see `_operator`; `made`, number and
        `milliseconds` of primitives that were made anew; `outside`, milliseconds that the inference took beyond both.
        Medians of a few rounds.
    """
    loaded, few = _Loaded(way), min(rounds, _OBSERVED_ROUNDS)
    passes: list[list[Observer]] = []
    for done in range(few + 1):
        passes.append([loaded.answer(Path(image), Observer()) for image in images])
        progress(done + 1, few + 1)
    orders = {
        item["name"]: executed.steps(Path(item["model_dir"]), PredictorOptions.from_json(item["options"]))
        for item in way["steps"]
        if item["options"]["backend"] == "onednn"
    }
    return {"inferences": [item for same in zip(*passes[1:]) for item in _observed(same, orders)]}


def _observed(rounds: Sequence[Observer], orders: Mapping[str, Sequence[Step]]) -> Iterator[dict[str, Any]]:
    """The inferences of one image, of all rounds one."""
    all_runs = zip(*(item.inferences for item in rounds))
    all_reports = zip(*(item.reports for item in rounds))
    for runs, reports in zip(all_runs, all_reports):
        name = runs[0].model
        if name in orders:
            primitives = [executed_in(lines) for lines in reports]
            made = [made_in(lines) for lines in reports]
            yield {
                "model": name,
                "operators": operators_of(kernels.typical(primitives), orders[name]),
                "made": dict(zip(("calls", "milliseconds"), map(statistics.median, zip(*made)))),
                "outside": outside([run.seconds * 1000 for run in runs], primitives, made),
            }


@dataclass(frozen=True)
class Inference:
    """One inference: shapes of its inputs by name, and how long it took."""

    model: str
    shapes: Mapping[str, list[int]]
    seconds: float


@dataclass
class Watch:
    """The clock that goes with one request.

    Attributes:
        stages: seconds by name: `decode`, `det.preprocess`, ..., `answer`.
    """

    stages: dict[str, float] = field(default_factory=dict)
    inferences: list[Inference] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block."""
        began = time.perf_counter()
        yield
        self.stages[name] = time.perf_counter() - began

    def infer(self, name: str, run: Predictor, feed: Feed) -> Fetch:
        """Time an inference of the model `name`."""
        began = time.perf_counter()
        outputs = run(feed)
        seconds = time.perf_counter() - began
        shapes = {key: list(array.shape) for key, array in feed.items()}
        self.inferences.append(Inference(name, shapes, seconds))
        stage = f"{name}.inference"
        self.stages[stage] = self.stages.get(stage, 0.0) + seconds
        return outputs


@dataclass
class Observer(Watch):
    """A watch that also keeps the lines in which oneDNN reported of each inference."""

    reports: list[list[str]] = field(default_factory=list)

    def infer(self, name: str, run: Predictor, feed: Feed) -> Fetch:
        """Time an inference, without the time that its report takes to read."""
        with kernels._captured_output() as lines:
            outputs = super().infer(name, run, feed)
        self.reports.append(lines)
        return outputs


AnyWatch = TypeVar("AnyWatch", bound=Watch)


class _Loaded:
    """The objects of a release that a request passes."""

    def __init__(self, way: Way) -> None:
        code = Path(way["pipeline_dir"])
        reference, self._options = way["request"]
        self._kind: Kind = way["accepts"]
        self._decode = pipeline.resolve(code, reference)
        self._respond = pipeline.resolve(code, way["response"])
        self._steps = [_load(code, item) for item in way["steps"]]

    def answer(self, file: Path, watch: AnyWatch) -> AnyWatch:
        """Answer a request with what is in `file` as the replica does, and give back the watch."""
        content = file.read_bytes()
        try:
            self._answer(base64.b64encode(content).decode() if self._kind == "image" else content, watch)
        except (RequestError, ContentError) as error:
            raise DataError(
                f"the pipeline refuses the {self._kind}: {error}",
                where=str(file),
                remedy="give one that the service would take",
            ) from error
        return watch

    def _answer(self, content: Union[str, bytes], watch: Watch) -> None:
        with watch.stage("decode"):
            given = read.fields(self._kind, {FIELDS[self._kind]: content})
            payload = self._decode(given, self._options)
        for name, step, run in self._steps:
            with watch.stage(f"{name}.preprocess"):
                feeds = step.preprocess(payload)
            # Of a page without text there is nothing to infer, and that takes no time.
            watch.stages[f"{name}.inference"] = 0.0
            outputs = [watch.infer(name, run, feed) for feed in feeds]
            with watch.stage(f"{name}.postprocess"):
                payload = step.postprocess(payload, outputs)
        with watch.stage("answer"):
            json.dumps(self._respond(payload), ensure_ascii=False)


def _load(code: Path, item: Mapping[str, Any]) -> tuple[str, Any, Predictor]:
    reference, options = item["step"]
    run = model.load(Path(item["model_dir"]), PredictorOptions.from_json(item["options"]))
    return item["name"], pipeline.resolve(code, reference)(options), run


def _record(watches: Sequence[Watch]) -> dict[str, Any]:
    """All rounds of one image."""
    return {
        "stages": {name: [item.stages[name] for item in watches] for name in watches[0].stages},
        "inferences": [
            {"model": same[0].model, "shapes": same[0].shapes, "seconds": [item.seconds for item in same]}
            for same in zip(*(item.inferences for item in watches))
        ],
    }


@dataclass(frozen=True)
class Executed(Primitive):
    """A primitive with its problem: all sizes, as oneDNN writes them."""

    problem: str = ""


def executed_in(lines: Sequence[str]) -> list[Primitive]:
    """The primitives in oneDNN's report, each with its problem."""
    return [_with_problem(item, line) for line in lines for item in verbose.parse([line])]


def _with_problem(item: Primitive, line: str) -> Executed:
    """An activation function works in place, and its only tensor is no source."""
    data = _DATA.search(line)
    known = {**vars(item), "source": item.source or (_TYPES.get(data[1], data[1]) if data else "")}
    return Executed(**known, problem=line.split(",")[-2])


def made_in(lines: Sequence[str]) -> tuple[int, float]:
    """Number and milliseconds of the primitives that were made anew in one inference."""
    found = [float(made[1]) for made in map(_MADE.match, lines) if made]
    return len(found), sum(found)


def outside(
    wholes: Sequence[float], primitives: Sequence[Sequence[Primitive]], made: Sequence[tuple[int, float]]
) -> float:
    """Milliseconds of an inference that oneDNN does not report: the median of the rounds, each with its own report.

    Not less than nothing: clocks differ by little.
    """
    reported = [sum(item.milliseconds for item in ran) + new[1] for ran, new in zip(primitives, made)]
    return max(0.0, statistics.median(whole - part for whole, part in zip(wholes, reported)))


def operators_of(primitives: Sequence[Primitive], order: Sequence[Step]) -> list[dict[str, Any]]:
    """The operators of one inference, each convolution and matrix product with the name of its layer where it is known.

    Args:
        order: layers of the model in the order of execution.
    """
    heavy = kernels._joined([item for item in primitives if item.is_heavy])
    named = [_operator(item, name) for item, name in zip(heavy, executed.names(heavy, order))]
    return [*named, *(_operator(item, None) for item in primitives if not item.is_heavy)]


def _operator(item: Primitive, name: Any) -> dict[str, Any]:
    """`heavy`: whether it is a convolution or a matrix product; `name` of its layer; `problem`, as oneDNN writes it."""
    return {
        "name": name,
        "heavy": item.is_heavy,
        "kind": item.kind,
        "dtype": item.source,
        "implementation": item.implementation,
        "problem": item.problem if isinstance(item, Executed) else "",
        "weight": list(item.weight_shape),
        "milliseconds": item.milliseconds,
    }
