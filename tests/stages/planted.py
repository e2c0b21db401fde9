"""An evaluation on planted models: what each variant loses, costs and breaks by is known, and no engine runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional, Union

import pytest

from toolkit import cpu, spec
from toolkit.console import Console
from toolkit.engines.options import INT8_OPERATORS, PredictorOptions
from toolkit.quantization.recipe import Recipe
from toolkit.stages import calibrate, convert, dataset, diagnose, evaluate, measure, search, variants
from toolkit.stages.context import Context
from toolkit.stages.evaluate import Outcome
from toolkit.stages.variants import Variant
from toolkit.store.artifact import Artifact

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"
SAMPLES, LINES = 40, 100

# Lines lost by each sample, as tests/evaluation/test_gate.py has them with the verdicts that they get.
NONE = (0,) * 40
WORSE = (3,) * 40  # fails
BETWEEN = (*[0] * 37, 2, 4, 6)  # 0.3 points, inconclusive
OUTSIDE = (*[0] * 37, 6, 8, 10)  # 0.6 points, inconclusive

A = Recipe("mse", kinds=("conv2d",))
B = Recipe("kl", kinds=("conv2d",))


@dataclass(frozen=True)
class Plant:
    """One variant as it is planted; `problem`: it does not run, `crashed` or only refused."""

    lost: Sequence[int] = NONE
    ratio: float = 2.0
    spread: float = 0.01
    problem: Optional[str] = None
    crashed: bool = False
    share: float = 0.9


Key = Union[str, Recipe]


@dataclass
class World:
    """What is planted, by model and by `native`, `fp32`, `bf16` or recipe, or label in OpenVINO; the rest is sound.

    Attributes:
        alike: labels of what runs the same kernels at each level.
        timed: the levels that times were taken at.
        tuned: lines that whole answers lose where they are compared with those of another context.
    """

    plants: dict[tuple[str, Key], Plant] = field(default_factory=dict)
    proposals: dict[str, list[Recipe]] = field(default_factory=dict)
    search_drop: dict[Recipe, float] = field(default_factory=dict)
    searched: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    whole: dict[frozenset[str], Sequence[int]] = field(default_factory=dict)
    alike: Sequence[str] = ()
    tuned: Sequence[int] = NONE
    asked: list[str] = field(default_factory=list)
    timed: list[Optional[str]] = field(default_factory=list)

    def plant(self, item: Variant) -> Plant:
        key: Key = item.label if item.engine == "openvino" else item.recipe or item.options.label
        if item.options.label == "native":
            return Plant(ratio=1.0)
        return self.plants.get((item.model, key), Plant())

    def found(self, name: str) -> Mapping[str, Any]:
        recipes = self.proposals.get(name, [])
        rows = [
            {
                "recipe": item.to_json(),
                "label": item.label,
                "samples": 24,
                "value": 0.9,
                "drop": self.search_drop.get(item, 0.1),
                "points": self.search_drop.get(item, 0.1),
                "dropped": None,
                "problem": None,
            }
            for item in recipes
        ]
        return {
            "finalists": [item.to_json() for item in recipes],
            "rows": rows,
            "limit": 0.5,
            "races": [{"ranking": [], "rounds": [], "stopped": None}],
            "fallback": None,
            "problem": None,
            **self.searched.get(name, {}),
        }


def context(
    tmp_path: Path, precision: Optional[str] = None, steps: Sequence[str] = ("det", "rec"), **gate: Any
) -> Context:
    """A run for the OCR pipeline, with another gate; no lesser CPUs, unless they are asked for."""
    plan = spec.load(PIPELINES, "ocr")
    changed = plan.gate.model_copy(update={"levels": (), **gate})
    plan = plan.model_copy(update={"gate": changed, "steps": tuple(steps)})
    return Context(plan, tmp_path, None, precision, Console(quiet=True))


def artifact(info: Mapping[str, Any], key: str = "key") -> Artifact:
    return Artifact(Path("nowhere"), key, info)


def install(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Put the fakes in the place of all that would run an engine."""
    tmp_path.mkdir(exist_ok=True)
    image = tmp_path / "page.png"
    image.write_bytes(b"a page")
    # The first ten have a class.
    samples = [
        SimpleNamespace(file=image, name=f"{number}.png", label=0 if number < 10 else None)
        for number in range(SAMPLES)
    ]
    split = SimpleNamespace(
        directory=tmp_path, warnings=[], calibration=samples, search=samples, validation=samples
    )
    data = SimpleNamespace(directory=tmp_path, digest="digest", dataset=split)

    def plain(_: Context, name: str, precision: str) -> Variant:
        return Variant(name, PredictorOptions(precision, "onednn"), artifact({"bytes": 400}, f"plain-{name}"))

    def int8(_: Context, name: str, recipe: Recipe) -> Variant:
        options = PredictorOptions("int8", "onednn", op_set=INT8_OPERATORS, rest=recipe.rest)
        return Variant(name, options, artifact({"bytes": 100, "layers": []}, recipe.digest), recipe)

    def prove(_: Context, item: Variant, level: Optional[str] = None) -> Artifact:
        plant = world.plant(item)
        if plant.problem:
            return artifact({"problem": plant.problem, "crashed": plant.crashed})
        kernels = "the same" if item.label in world.alike else level
        return artifact({"share": plant.share, "problem": None, "kernels": kernels, "answer": "ab"})

    def run_model(_: Context, __: Any, item: Variant, *___: Any, level: Optional[str] = None) -> Artifact:
        world.asked.append(f"{item}@{level}" if level else f"{item.model} {item}")
        plant = world.plant(item)
        assert plant.problem is None, "what has proven not to run is not asked to"
        return artifact({"counts": _counts(plant.lost), "memory_mb": 300, "problem": None})

    def run_pipeline(
        _: Context,
        __: Any,
        chosen: Mapping[str, Variant],
        part: Optional[range] = None,
        level: Optional[str] = None,
        against: Optional[Context] = None,
    ) -> Artifact:
        labels = frozenset(f"{name} {item}" for name, item in chosen.items())
        each = zip(*(world.plant(item).lost for item in chosen.values()))
        lost = world.whole.get(labels, [sum(values) for values in each])
        if against is not None:
            world.asked.append("whole answers as tuned")
            lost = [sum(values) for values in zip(lost, world.tuned)]
        names = [item.name for item in samples]
        tells = {"level": level} if level and any(item.recipe for item in chosen.values()) else {}
        texts = [[{"text": "-" * value + "a" * (LINES - value)}] for value in lost]
        answers = [{"lines": text, "lost": value, **tells} for text, value in zip(texts, lost)]
        return artifact(
            {
                "counts": _counts(lost),
                "answers": answers[: len(part or samples)],
                "names": names,
                "images": [str(image)] * SAMPLES,
            }
        )

    def latencies(_: Context, __: Any, items: Sequence[Variant], level: Optional[str] = None) -> list[Any]:
        world.timed.append(level)
        return [_figures(world.plant(item)) for item in items]

    nothing: Mapping[str, Any] = {"layers": [], "histograms": {}, "exceeded": []}
    for module, name, fake in (
        (dataset, "run", lambda _: data),
        (search, "run", lambda _, __, name, ___: artifact(world.found(name))),
        (calibrate, "run", lambda *_: artifact({"warnings": []})),
        (diagnose, "run", lambda *_: nothing),
        (variants, "native", lambda _, name: Variant(name, PredictorOptions(), artifact({"bytes": 400}))),
        (variants, "plain", plain),
        (variants, "int8", int8),
        (measure, "prove", prove),
        (measure, "run_model", run_model),
        (measure, "run_pipeline", run_pipeline),
        (measure, "latencies", latencies),
        (measure, "workers", lambda _: 1),
        (cpu, "supports_bf16", lambda: True),
    ):
        monkeypatch.setattr(module, name, fake)


def install_convert(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Serving directories that hold the name of their variant, in the place of Paddle Serving's."""

    def run(_: Context, item: Variant) -> Artifact:
        path = tmp_path / "converted" / item.name
        for side in ("serving_server", "serving_client"):
            (path / side).mkdir(parents=True, exist_ok=True)
        (path / "serving_server" / "model.pdiparams").write_text(item.name)
        (path / "manifest.json").write_text("of the store")
        return Artifact(path, f"converted-{item.name}", {})

    monkeypatch.setattr(convert, "run", run)


def evaluated(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    precision: Optional[str] = None,
    steps: Sequence[str] = ("det",),
    **gate: Any,
) -> Outcome:
    """The evaluation of what is planted."""
    install(world, monkeypatch, tmp_path)
    return evaluate.run(context(tmp_path, precision, steps, **gate))


def _counts(lost: Sequence[int]) -> list[list[int]]:
    return [[90 - item, LINES, LINES] for item in lost]


def _figures(plant: Plant) -> Mapping[str, Any]:
    if plant.problem:
        return measure.NO_FIGURES
    milliseconds = 100 / plant.ratio
    return {
        "milliseconds": milliseconds,
        "p99": milliseconds,
        "ratio": plant.ratio,
        "spread": plant.spread,
        "cosine": 1.0,
    }


def with_rest(recipe: Recipe) -> Recipe:
    """The recipe with bf16 beside INT8."""
    return replace(recipe, rest="bf16")
