"""A service that is an arithmetic expression: what each configuration serves is known, and nothing runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from tests.stages.planted import PIPELINES
from toolkit.spec import PipelineSpec, load
from toolkit.spec.tune import TuneServingSpec, TuneSpec
from toolkit.tuning.results import Point, Result
from toolkit.tuning.space import Configuration

FACTORS: dict[str, Mapping[Any, float]] = {
    "variant": {"release": 1.0, "fp32": 0.5},
    "threads": {1: 1.0, 2: 0.8},
    "workers": {1: 0.9, 2: 1.0, 3: 1.1},
    "rec.batch_width": {640: 0.95, 1280: 1.0, 2560: 1.2},
}


def spec(**tune: Any) -> PipelineSpec:
    """That of `ocr`, with 18 configurations of each variant on two cores, unless told otherwise."""
    section = {
        "serving": TuneServingSpec(threads=(1, 2), workers=(1, 2, 3)),
        "options": {"rec": {"batch_width": (640, 1280, 2560)}},
        **tune,
    }
    return load(PIPELINES, "ocr").model_copy(update={"tune": TuneSpec(**section)})


def speed(configuration: Configuration) -> float:
    """Answers a second, at most."""
    value = 4.0
    for name, factors in FACTORS.items():
        if name in configuration.values:
            value *= factors[configuration.values[name]]
    return value


def measure(configuration: Configuration, p99: Optional[float] = None, noise: float = 0.0) -> Result:
    """As `trial.measure`: with one client half as much, with four twice the latency."""
    most = speed(configuration) * (1 + noise)
    points = (Point(1, most / 2, 2000 / most, 2000 / most, 50), Point(4, most, 4000 / most, 4000 / most, 100))
    return Result(configuration, points, 1000.0 * configuration.values["replicas"], seconds=10.0)
