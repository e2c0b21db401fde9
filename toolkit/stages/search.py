"""search: the tournament for the best INT8 recipes of one model, on the samples that are set aside for it.

What is found is a proposal. The verdict comes from other samples, in `evaluate`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

from toolkit import child, cpu
from toolkit.data.dataset import SEARCH
from toolkit.errors import ChildError, ModelError
from toolkit.evaluation import racing
from toolkit.evaluation.metrics import Counts, total
from toolkit.evaluation.racing import Crashed, Outcome, Race, Rules
from toolkit.quantization import fallback, grid
from toolkit.quantization.fallback import Fallback, Limits
from toolkit.quantization.recipe import Recipe
from toolkit.stages import calibrate, equalize, measure, optimize, variants
from toolkit.stages.context import PACKAGE, Context, machine
from toolkit.stages.dataset import DatasetRef
from toolkit.stages.variants import Variant
from toolkit.store.artifact import Artifact

_CODE = (
    Path(__file__),
    PACKAGE / "quantization",
    *(PACKAGE / "evaluation" / name for name in ("racing.py", "metrics.py")),
)

# Share of the gate's limit that a proposal may lose on the samples of the search, which are few.
_MARGIN = 0.8
_FINALISTS = 3
_CAREFUL = 0.1  # share of the multiply-accumulates
_ROUNDS = 3
_FIRST_SAMPLES = 6


@dataclass
class Row:
    """What the search learnt of one recipe.

    Attributes:
        drop: points lost against FP32 on the samples that it was measured on.
        dropped: why it left the race; None: it saw all samples.
    """

    recipe: Recipe
    samples: int = 0
    value: Optional[float] = None
    drop: Optional[float] = None
    dropped: Optional[str] = None
    problem: Optional[str] = None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "recipe": self.recipe.to_json(), "label": self.recipe.label}


def run(context: Context, data: DatasetRef, name: str, seconds: float) -> Artifact:
    """The proposals for the model `name`, best first, and the record of how they were found.

    Args:
        seconds: what the search may take. The budget of which it is a share is part of the key, since another may
            find something else.
    """
    model = context.spec.models[name]
    try:
        sources, problem = [optimize.run(context, name), calibrate.run(context, name)], None
    except (ModelError, ChildError) as error:
        _refuse_outside(error)
        sources, problem = [], error.message
    return context.artifact(
        "search",
        name,
        {
            "inputs": [item.key for item in sources],
            "problem": problem,
            "bf16": _bf16(context, name),
            "data": data.digest,
            "quantize": model.quantize.model_dump(mode="json"),
            "step": [model.step, model.options, model.metric, *context.spec.judge_of(name)],
            "pipeline": context.pipeline_code(),
            "gate": [context.spec.gate.max_drop, context.spec.gate.relative, context.spec.gate.int8_share],
            "threads": context.spec.serving.threads,
            "budget": context.budget if context.budget is not None else context.spec.search.budget_seconds,
            **machine(),
        },
        _CODE,
        lambda target, progress: _search(context, data, name, seconds, problem),
    )


def _search(
    context: Context, data: DatasetRef, name: str, seconds: float, problem: Optional[str]
) -> dict[str, Any]:
    try:
        return _nothing(context, data, problem) if problem else Search(context, data, name, seconds).run()
    except ModelError as error:
        return _nothing(context, data, error.message)


def _nothing(context: Context, data: DatasetRef, problem: str) -> dict[str, Any]:
    """A search that finds nothing, since the model cannot be quantized at all: a result like any other."""
    return {
        "finalists": [],
        "reference": None,
        "samples": len(data.dataset.search),
        "limit": context.spec.gate.max_drop,
        "rows": [],
        "races": [],
        "fallback": None,
        "problem": problem,
    }


def _refuse_outside(error: Exception) -> None:
    """Raise an error again that says nothing of the model: somebody ended the child."""
    if isinstance(error, ChildError) and error.ended_from_outside:
        raise error


def _bf16(context: Context, name: str) -> bool:
    return cpu.supports_bf16() and "bf16" in context.spec.candidates_of(name)


def finalists(info: Mapping[str, Any]) -> list[Recipe]:
    """The recipes that a search proposes, best first."""
    return [Recipe.from_json(item) for item in info["finalists"]]


def is_promising(info: Mapping[str, Any], recipe: Recipe) -> bool:
    """Whether `recipe` lost less than the gate's limit in the search, so that a verdict on it is worth its time."""
    rows = [row for row in info["rows"] if row["recipe"] == recipe.to_json()]
    return any(row["points"] is not None and row["points"] < info["limit"] for row in rows)


@dataclass
class Search:
    """One search at work."""

    context: Context
    data: DatasetRef
    name: str
    seconds: float
    rows: dict[Recipe, Row] = field(default_factory=dict)
    races: list[Mapping[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ends = time.monotonic() + self.seconds
        self.samples = len(self.data.dataset.search)
        self.metric = self.context.spec.models[self.name].metric
        self.reference: list[Counts] = []
        self._quantized: set[str] = set()

    def run(self) -> dict[str, Any]:
        """Race, vary, fall back; what is proposed, and everything that was seen on the way."""
        with child.parallel(measure.workers(self.context)) as pool:
            self.pool = pool
            self.reference = self._reference()
            best = self._tournament()
            found = self._fall_back(best) if best is not None and not self._passes(best) else None
        proposals = self._proposals()
        return {
            "finalists": [recipe.to_json() for recipe in proposals],
            "reference": self._score(total(self.reference)),
            "samples": self.samples,
            "limit": self._limit(),
            "rows": [{**row.to_json(), "points": self._points(row)} for row in self.rows.values()],
            "races": self.races,
            "fallback": found.to_json() if found else None,
            "problem": None,
        }

    def _tournament(self) -> Optional[Recipe]:
        plan, options = Recipe(), self.context.spec.models[self.name].quantize
        plan = replace(plan, algorithm=grid.first(options.algorithms), percent=max(options.percents))
        plan = replace(plan, weights=options.weights[0], exclude=tuple(sorted(options.skip)))
        # Costs nothing, and is worth 2 dB in the OCR recognizer; the last race also tries without.
        plan = replace(plan, bias_correction=True)
        census = optimize.run(self.context, self.name).info
        best = self._race(grid.kinds(options.kinds, census["kinds"], plan))
        if best is not None:
            best = self._race(grid.algorithms(best, options.algorithms, options.percents))
        if best is not None:
            pairs = equalize.run(self.context, self.name).info["pairs"] if options.equalize else 0
            varied = grid.variations(best, options.weights, pairs=pairs, bf16=_bf16(self.context, self.name))
            best = self._race([*varied, *self._careful(best)])
        return best

    def _careful(self, best: Recipe) -> list[Recipe]:
        """The recipe `best` with the layers in float whose inputs are rounded worst, up to a part of the work.

        The samples of the search are few. Where they flatter `best`, the verdict may still pass this one.
        """
        variant = variants.int8(self.context, self.name, best)
        layers = _layers(variant, measure.prove(self.context, variant).info)
        chosen, work = [], 0.0
        for layer in sorted(layers, key=lambda item: -item.suspicion):
            if work + layer.macs <= _CAREFUL:
                chosen.append(layer.name)
                work += layer.macs
        return [best.excluding((*best.exclude, *chosen))] if 0 < len(chosen) < len(layers) else []

    def _race(self, recipes: Sequence[Recipe]) -> Optional[Recipe]:
        """The best of `recipes`; the first one where time ran out before any was measured."""
        rules = Rules(_ROUNDS, keep=2, minimum=_FIRST_SAMPLES, seconds=max(0.0, self.ends - time.monotonic()))
        found: Race[Recipe] = racing.race(recipes, self.samples, self._measure, self._score, rules)
        self.races.append(found.to_json())
        for recipe, counts in found.counts.items():
            self._enter(recipe, counts)
        for recipe, reason in found.crashed.items():
            self.rows[recipe] = Row(recipe, problem=reason)
        for standings in found.rounds:
            for standing in standings:
                recipe = next(item for item in recipes if str(item) == standing.candidate)
                self.rows[recipe].dropped = standing.dropped
        return found.ranking[0] if found.ranking else None

    def _enter(self, recipe: Recipe, counts: Mapping[int, Counts]) -> None:
        """Note what was measured; a race that ran out of time knows less than the one before it."""
        if recipe in self.rows and self.rows[recipe].samples > len(counts):
            return
        value = self._score(total(counts.values()))
        before = self._score(total(self.reference[index] for index in counts))
        self.rows[recipe] = Row(recipe, len(counts), value, 100 * (before - value))

    def _measure(self, recipes: Sequence[Recipe], part: range) -> list[Outcome]:
        return list(self.pool.map(lambda recipe: self._outcome(recipe, part), recipes))

    def _outcome(self, recipe: Recipe, part: range) -> Outcome:
        """The counts, from the store where they were measured before; a recipe that fails is a result."""
        try:
            variant = variants.int8(self.context, self.name, recipe)
        except (ModelError, ChildError) as error:
            _refuse_outside(error)
            return Crashed(f"cannot be made: {error.message}")
        return self._counts(variant, part)

    def _counts(self, variant: Variant, part: range) -> Outcome:
        measured = measure.run_model(self.context, self.data, variant, SEARCH, part)
        counts = measure.counts_of(measured)
        return counts if counts is not None else Crashed(measure.problem_of(measured) or "")

    def _reference(self) -> list[Counts]:
        """FP32 in oneDNN, whose answers are those of native FP32: to find out is what the verdict is for."""
        plain = variants.plain(self.context, self.name, "fp32")
        parts = racing.subsets(self.samples, _ROUNDS, _FIRST_SAMPLES)
        counts: dict[int, Counts] = {}
        for part, outcome in zip(parts, self.pool.map(lambda item: self._counts(plain, item), parts)):
            if isinstance(outcome, Crashed):
                raise ModelError(f"the FP32 model in oneDNN {outcome.reason}", where=self.name)
            counts.update(zip(part, outcome))
        return [counts[index] for index in range(self.samples)]

    def _fall_back(self, start: Recipe) -> Optional[Fallback]:
        """Single layers back to float, as few as it takes; the result is a row as others are."""
        left = self.ends - time.monotonic()
        if left <= 0:
            return None
        variant = variants.int8(self.context, self.name, start)
        layers = _layers(variant, measure.prove(self.context, variant).info)
        self._quantized = {layer.name for layer in layers}
        found = fallback.search(
            layers,
            lambda sets: self._damages(start, sets),
            Limits(
                target=_MARGIN * self._limit(),
                share=self.context.spec.gate.int8_share,
                noise=self._noise(),
                seconds=left,
                parallel=max(2, measure.workers(self.context)),
            ),
        )
        if found.names:
            recipe = start.excluding((*start.exclude, *found.names))
            self._damages(start, [found.names])
            self.rows[recipe].dropped = None
        return found

    def _damages(self, start: Recipe, sets: Sequence[frozenset[str]]) -> list[Optional[float]]:
        recipes = [start.excluding((*start.exclude, *names)) for names in sets]
        found: list[Optional[float]] = []
        if any(names >= self._quantized for names in sets):
            # With all layers in float it is the FP32 model, which loses nothing against itself.
            rest = iter(self._damages(start, [names for names in sets if not names >= self._quantized]))
            return [0.0 if names >= self._quantized else next(rest) for names in sets]
        for recipe, outcome in zip(recipes, self._measure(recipes, range(self.samples))):
            if isinstance(outcome, Crashed):
                self.rows.setdefault(recipe, Row(recipe, problem=outcome.reason))
                found.append(None)
                continue
            known = recipe in self.rows
            self._enter(recipe, dict(enumerate(outcome)))
            if not known:
                self.rows[recipe].dropped = "a step of the search for layers"
            found.append(self._points(self.rows[recipe]))
        return found

    def _proposals(self) -> list[Recipe]:
        """Those that saw all samples and passed, best first; else the best of all: there is always something to say."""
        whole = [
            row
            for row in self.rows.values()
            if row.drop is not None and row.samples == self.samples and not row.dropped
        ]
        ranked = sorted(whole, key=lambda row: row.drop if row.drop is not None else 100.0)
        passing = _diverse([row.recipe for row in ranked if self._points(row) < self._limit()])
        if not ranked:
            ran = [row for row in self.rows.values() if row.drop is not None]
            ranked = sorted(ran, key=lambda row: row.drop if row.drop is not None else 100.0)
        return passing[:_FINALISTS] or [row.recipe for row in ranked[:1]]

    def _passes(self, recipe: Recipe) -> bool:
        row = self.rows.get(recipe)
        return row is not None and row.drop is not None and self._points(row) <= _MARGIN * self._limit()

    def _points(self, row: Row) -> float:
        """The drop in the unit of the gate's limit."""
        drop = row.drop if row.drop is not None else 100.0
        if not self.context.spec.gate.relative:
            return drop
        reference = self._score(total(self.reference))
        return drop / reference if reference else drop

    def _limit(self) -> float:
        return self.context.spec.gate.max_drop

    def _noise(self) -> float:
        """Two results more or less, in points: what unrelated sets of layers differ by."""
        return 200.0 / max(1, total(self.reference).truth)

    def _score(self, counts: Counts) -> float:
        return float(getattr(counts, self.metric))


def _layers(variant: Variant, proof: Mapping[str, Any]) -> list[fallback.Layer]:
    """The layers that run in INT8, with their work and how noisy their inputs are expected to be."""
    macs: dict[str, int] = {}
    for item in proof.get("layers", ()):
        if item["name"] is not None:
            macs[item["name"]] = macs.get(item["name"], 0) + item["macs"]
    whole = max(1, sum(proof.get("macs", {}).values()))
    return [
        fallback.Layer(
            item["name"],
            macs.get(item["name"], 0) / whole,
            suspicion=-min((found["sqnr_db"] for found in item["activations"]), default=0.0),
        )
        for item in variant.source.info["layers"]
        if item["int8"]
    ]


def _diverse(recipes: Sequence[Recipe]) -> list[Recipe]:
    """The best with each set of layers in INT8 before the others: those differ in speed, and fail apart."""
    first = {(item.kinds, item.exclude): item for item in reversed(recipes)}
    leaders = [item for item in recipes if first[item.kinds, item.exclude] is item]
    return [*leaders, *(item for item in recipes if item not in leaders)]
