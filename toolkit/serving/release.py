"""A rendered release: all that a service needs, in one directory that can be moved.

config.yml           Paddle Serving's own configuration
cpp.yml              arguments of its C++ server; left out where the Python pipeline serves
release.yml          models, options, steps and limits, as this module reads them
models/<name>/       serving_server/ and serving_client/
pipeline/            the pipeline's own code
monitoring/          alert rules, a dashboard and a scrape configuration for Prometheus and Grafana
golden/              requests (images, texts or JSON, as files) and the answers that they must get
fp32/                a release in FP32 to go back to, complete in itself; left out where this one is in FP32
levels/<LEVEL>/      one for processors of that level, complete too; left out where they run this one as it is
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import Literal

from toolkit.content.kinds import Kind
from toolkit.engines.options import PredictorOptions
from toolkit.errors import TemplateError
from toolkit.hardware import TargetName

RELEASE_FILE, CONFIG_FILE = "release.yml", "config.yml"
GOLDEN_DIR, GOLDEN_FILE = "golden", "golden.json"
MODELS_DIR, PIPELINE_DIR, MONITORING_DIR = "models", "pipeline", "monitoring"
FP32, _LEVELS_DIR = "fp32", "levels"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StepRelease(_Part):
    """A model and its pre- and postprocessing.

    Attributes:
        digest: of the model's artifact.
        verdict: the gate's on it: `pass`, `fail` or `inconclusive`; empty for the reference.
        shapes: the ranges of its feeds, for a device that asks for them; see `toolkit.stages.ranges`.
    """

    name: str
    model: str
    precision: str
    digest: str
    verdict: str
    step: str
    options: dict[str, Any]
    predictor: dict[str, Any]
    shapes: dict[str, dict[str, list[int]]] = Field(default_factory=dict)

    @property
    def predictor_options(self) -> PredictorOptions:
        """The engine settings, those that the gate measured with."""
        return PredictorOptions.from_json(self.predictor)


class Output(_Part):
    """A part of the answer as a tensor; see `toolkit.spec.judging.OutputSpec`."""

    name: str
    path: str
    datatype: str
    shape: tuple[int, ...]


class Limits(_Part):
    """How many replicas there are, what the service refuses, and how long it waits; see `ServingSpec`."""

    threads: int
    replicas: Optional[int]
    workers: int
    queue: int
    max_body_bytes: int
    max_connections: int
    header_seconds: float
    deadline_seconds: float
    start_seconds: float
    grace_seconds: float
    golden_interval_seconds: float
    golden_deadline_seconds: float
    memory_limit_megabytes: Optional[int]
    standby: str = "fp32"
    starts: int = 1
    warm_seconds: float = 0.0
    pin: bool = False


class Canary(_Part):
    """How this release is tried on a part of the requests, and what takes it back; see `CanarySpec`."""

    steps: tuple[int, ...] = (10, 25, 50)
    interval_seconds: float = 30.0
    successes: int = 1
    failures: int = 0
    inconclusives: int = 10
    min_requests: int = 30
    mirror: float = 0.2
    max_errors: float = 0.01
    max_latency_ratio: float = 1.5
    max_disagreement: float = 0.01


class Watch(_Part):
    """How this release is compared with its FP32 variant on live requests; see `WatchSpec`."""

    sample: float = 0.0
    window: int = 200
    max_disagreement: float = 0.02
    rollback: bool = False


class Agreement(_Part):
    """How much its answers differ from native FP32's, as the gate measured it on the validation samples.

    Attributes:
        kind: how answers are compared; see `toolkit.evaluation.agreement.Rule`.
        path: what of them is.
        classes: where the classes of boxes are.
        rate: share that differs, 0..1.
        high: with 95 % confidence the true rate is not above this.
        samples: how many there were.
    """

    kind: Literal["text", "top1", "boxes", "numbers"]
    path: str
    classes: Optional[str] = None
    rate: float
    high: float
    samples: int


class Release(_Part):
    """The content of `release.yml`.

    Attributes:
        level: of instruction sets, that INT8 and bf16 in it were judged at; None: it is in FP32, and runs anywhere.
        levels: lesser ones that it was judged for too, by itself or by what lies in `levels/`.
        accepts: what requests bring.
        agreement: of its answers with native FP32's; None: that was not measured.
        target: hardware that it is for; see `toolkit.hardware`.
    """

    name: str
    target: TargetName = "x86-cpu"
    level: Optional[str] = None
    levels: tuple[str, ...] = ()
    accepts: Kind = "image"
    request: str
    request_options: dict[str, Any]
    response: str
    outputs: tuple[Output, ...]
    steps: tuple[StepRelease, ...]
    limits: Limits
    canary: Canary = Canary()
    watch: Watch = Watch()
    agreement: Optional[Agreement] = None


def read(directory: Path) -> Release:
    """The release in `directory`.

    Raises:
        TemplateError: `release.yml` is missing or wrong.
    """
    path = directory / RELEASE_FILE
    try:
        return Release.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise TemplateError("this is no rendered release", where=str(path)) from error
    except (yaml.YAMLError, ValidationError) as error:
        raise TemplateError(f"the rendered release is wrong: {error}", where=str(path)) from error


def engines(directory: Path) -> set[str]:
    """The engines that the models of the release in `directory` and of its spares run in: `paddle`, `openvino`."""
    releases = [read(path.parent) for path in directory.rglob(RELEASE_FILE)]
    return {item.predictor_options.engine for plan in releases for item in plan.steps}


def at_level(level: str) -> str:
    """The place in a release of what processors of `level` run."""
    return f"{_LEVELS_DIR}/{level}"


def variant(directory: Path, place: str) -> Path:
    """The release in other variants of its models; `directory` itself where these are its own.

    Args:
        place: `FP32`, or what `at_level` says.
    """
    spare = directory / place
    return spare if spare.is_dir() else directory


def fitting(directory: Path, levels: Sequence[str]) -> Path:
    """What a processor runs of the release in `directory`: what was judged for it, else FP32.

    Args:
        levels: those that it can run at, the weakest first; see `toolkit.cpu.levels`.

    Raises:
        TemplateError: `release.yml` is missing or wrong.
    """
    plan = read(directory)
    if plan.level is None or plan.level in levels:
        return directory
    judged = [level for level in levels if level in plan.levels]
    return variant(directory, at_level(judged[-1]) if judged else FP32)


def cheapest_golden(directory: Path) -> tuple[bytes, Mapping[str, Any]]:
    """The file with the shortest answer, and that answer: what a replica is asked for again and again."""
    file, answer = min(goldens(directory), key=lambda item: len(json.dumps(item[1])))
    return file.read_bytes(), answer


def goldens(directory: Path) -> list[tuple[Path, Mapping[str, Any]]]:
    """Files of what is asked, and the answers that the gate recorded for them."""
    folder = directory / GOLDEN_DIR
    entries = json.loads((folder / GOLDEN_FILE).read_text(encoding="utf-8"))
    return [(folder / entry["image"], entry["answer"]) for entry in entries]
