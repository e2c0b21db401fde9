"""How the evaluation records a model: what is served, in words and to make it again, and a row for each candidate.

Rows are found by their labels, in the report and by programs. Recipes may share one; such have the beginning of the
recipe's digest behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Optional

import numpy as np

from toolkit.data.dataset import VALIDATION
from toolkit.engines import kernels
from toolkit.evaluation.gate import Verdict
from toolkit.evaluation.metrics import Counts
from toolkit.evaluation.ratios import Metric
from toolkit.quantization.recipe import Recipe
from toolkit.spec import AGREEMENT
from toolkit.stages import measure
from toolkit.stages.judge import Judged
from toolkit.stages.variants import Variant

_TITLES = {"native": "native FP32", "int8": "INT8", "bf16": "bf16", "fp32": "FP32"}
_ENGINES = {"paddle": "oneDNN", "openvino": "OpenVINO"}
_SEARCHED = ("value", "drop", "samples", "dropped")


def entry(judged: Judged, passed: bool) -> dict[str, Any]:
    """What the evaluation records of a model.

    Args:
        passed: whether the whole pipeline is served; a model that may be is not by itself.
    """
    return _Entry(judged).to_json(passed)


def described(verdict: Optional[Verdict]) -> Optional[dict[str, Any]]:
    """A verdict as the evaluation records it, flat."""
    if verdict is None:
        return None
    difference = verdict.difference
    found = {"outcome": verdict.status, "needed": verdict.needed, "reason": verdict.reason}
    if difference is None:
        return found
    return {
        **found,
        "value": difference.candidate,
        "drop": difference.drop,
        "lower": difference.lower,
        "upper": difference.upper,
        "samples": difference.samples,
        "better": difference.better,
        "worse": difference.worse,
    }


def serving(item: Variant, label: Optional[str] = None) -> dict[str, Any]:
    """What it takes to make this variant again."""
    return {
        "label": label or item.label,
        "precision": item.options.label,
        "recipe": item.recipe.to_json() if item.recipe else None,
        "options": item.options.to_json(),
        "options_digest": item.options.digest,
    }


class _Entry:
    """One model on its way into the record."""

    def __init__(self, judged: Judged) -> None:
        self.judged = judged
        self.known = judged.rows_of_search()
        recipes = {*self.known, *(item.recipe for item in judged.everything if item.recipe)}
        labels = Counter(recipe.label for recipe in recipes)
        self.shared: Collection[str] = {label for label, count in labels.items() if count > 1}

    def to_json(self, passed: bool) -> dict[str, Any]:
        judged, searched = self.judged, self.judged.searched or {}
        label = None if judged.failure else self._label(judged.chosen)
        return {
            "metric": judged.context.spec.models[judged.name].metric,
            "chosen": label,
            "serving": serving(judged.chosen, label) if label else None,
            "sentence": judged.failure or self._sentence(passed),
            "would_take": {"latency": self._label(judged.fastest)},
            "candidates": self._rows(),
            "races": searched.get("races", []),
            "fallback": searched.get("fallback"),
        }

    def _label(self, item: Variant) -> str:
        return item.in_words(self._named(item.recipe)) if item.recipe else item.label

    def _named(self, recipe: Recipe) -> str:
        return str(recipe) if recipe.label in self.shared else recipe.label

    def _sentence(self, passed: bool) -> str:
        chosen, fastest = self.judged.chosen, self.judged.fastest
        verdict = self.judged.verdicts.get(chosen)
        recipe = f" ({chosen.recipe.label.partition(' ')[2]})" if chosen.recipe else ""
        whose = "that of whole answers" if self.judged.rejected else _measured(self.judged)
        why = f"it {verdict.reason}" if verdict else f"no candidate is faster and keeps {whose}"
        latency = "this too" if fastest is chosen else self._label(fastest)
        return (
            f"{self.judged.name} {'is' if passed else 'would be'} served in {_title(chosen)}{recipe}: "
            f"{why}; `latency` would take {latency}"
        )

    def _rows(self) -> list[dict[str, Any]]:
        shown = {item.recipe for item in self.judged.everything}
        rows = [self._row(item) for item in self.judged.everything]
        return rows + [
            self._searched_only(recipe, row) for recipe, row in self.known.items() if recipe not in shown
        ]

    def _row(self, item: Variant) -> dict[str, Any]:
        judged, figures = self.judged, self.judged.figures[item]
        native, verdict = item is judged.native, judged.verdicts.get(item)
        proof = None if native else measure.prove(judged.context, item)
        problem = measure.problem_of(proof) if proof else None
        measured: Mapping[str, Any] = {}
        if native or (verdict is not None and problem is None):
            found = measure.run_model(judged.context, judged.data, item, VALIDATION)
            measured, problem = found.info, problem or measure.problem_of(found)
        told = proof.info if proof else {}
        return {
            "label": self._label(item),
            "precision": item.options.label,
            "recipe": item.recipe.to_json() if item.recipe else None,
            "search": _search_part(self.known.get(item.recipe)) if item.recipe else None,
            "verdict": {"value": value_of(judged.metric, judged.counts())} if native else described(verdict),
            **figures,
            "ratio": round(figures["ratio"], 2) if figures["ratio"] else None,
            "bytes": item.source.info["bytes"],
            "memory_mb": measured.get("memory_mb"),
            "kernels": kernels.describe(told, item.options.precision) if told.get("macs") else "",
            "share": _shares(told),
            "problem": problem,
        }

    def _searched_only(self, recipe: Recipe, row: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "label": self._named(recipe),
            "precision": "int8",
            "recipe": row["recipe"],
            "search": _search_part(row),
            "verdict": None,
            **measure.NO_FIGURES,
            "bytes": row.get("bytes"),
            "memory_mb": None,
            "kernels": "",
            "share": None,
            "problem": row["problem"],
        }


def _measured(judged: Judged) -> str:
    by_agreement = judged.context.spec.models[judged.name].judge == AGREEMENT
    return "its agreement with native FP32" if by_agreement else "its accuracy"


def _title(item: Variant) -> str:
    title = _TITLES[item.options.label]
    told = item.engine == "openvino" or item.options.label == "fp32"
    return f"{title} in {_ENGINES[item.engine]}" if told else title


def value_of(metric: Metric, counts: Sequence[Counts]) -> float:
    """The figure of all samples."""
    return float(metric.values(counts, np.ones((1, len(counts))))[0])


def _search_part(row: Optional[Mapping[str, Any]]) -> Optional[dict[str, Any]]:
    return {key: row[key] for key in _SEARCHED} if row else None


def _shares(proof: Mapping[str, Any]) -> Optional[dict[str, float]]:
    macs = proof.get("macs")
    if not macs:
        return None
    whole = max(1, sum(macs.values()))
    return {name: round(number / whole, 4) for name, number in macs.items()}
