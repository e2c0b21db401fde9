"""What is kept of a model for lesser CPUs: those with less of the instruction sets that a release may meet.

Other instructions give other numbers (INT8 saturates without VNNI) and other times, so each is measured by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from toolkit import cpu
from toolkit.evaluation import gate
from toolkit.stages import measure, rows, variants
from toolkit.stages.judge import Judged
from toolkit.stages.variants import Variant

Figures = Mapping[Variant, Mapping[str, Any]]


def keep(judged: Judged, pool: Executor) -> dict[str, Any]:
    """For each level below this machine's that the spec names: the fastest that may be served there, else native FP32.

    To be called while nothing else runs, since it measures times.

    Returns:
        By level `label`, `serving`, `milliseconds` and `ratio` of what is kept, its `verdict` (None: native FP32), and
        `tried`: all that was looked at, in its order, with verdicts.
    """
    if judged.searched is None:
        # INT8 is no candidate, and what is not quantized does not depend on the CPU's INT8.
        return {}
    wanted = [item for item in cpu.levels_below() if item in judged.context.spec.gate.levels]
    portable = _portable(judged)
    figures = [_figures(judged, portable, level) for level in wanted]
    return dict(zip(wanted, pool.map(lambda level, found: _at(judged, level, found), wanted, figures)))


def _portable(judged: Judged) -> list[Variant]:
    """What may run on lesser CPUs: INT8 that may be served here, without bf16 beside it, and FP32."""
    served = [
        item
        for item in judged.proposals
        if item not in judged.rejected
        and item in judged.verdicts
        and gate.decide(judged.verdicts[item], judged.policy) == "serve"
    ]
    recipes = [replace(item.recipe, rest="fp32") for item in served[:1] if item.recipe]
    found = [variants.int8(judged.context, judged.name, recipe) for recipe in recipes]
    if not any(item.options.precision == "fp32" for item in judged.rejected):
        found.append(variants.plain(judged.context, judged.name, "fp32"))
    return variants.in_all_engines(judged.context, found)


def _figures(judged: Judged, portable: list[Variant], level: str) -> Figures:
    everything = [judged.native, *portable]
    return dict(zip(everything, measure.latencies(judged.context, judged.data, everything, level)))


def _at(judged: Judged, level: str, figures: Figures) -> dict[str, Any]:
    """The first that may be served, the fastest first; what is no faster than native FP32 is not judged."""
    native, *others = figures
    tried: list[Any] = []
    for item in sorted(others, key=lambda item: -(figures[item]["ratio"] or 0.0)):
        told = {"label": item.label, "ratio": figures[item]["ratio"]}
        if not _pays(figures[item]):
            tried.append({**told, "reason": "is no faster than native FP32"})
            continue
        verdict = judged.judge(item, level)
        tried.append({**told, **(rows.described(verdict) or {})})
        if gate.decide(verdict, judged.policy) == "serve":
            return _entry(item, figures, rows.described(verdict), tried)
    return _entry(native, figures, None, tried)


def _pays(figures: Mapping[str, Any]) -> bool:
    return bool(figures["ratio"] and figures["ratio"] > 1 + gate.noise(figures["spread"]))


def _entry(item: Variant, figures: Figures, verdict: Any, tried: list[Any]) -> dict[str, Any]:
    return {
        "label": item.label,
        "serving": rows.serving(item),
        "verdict": verdict,
        "tried": tried,
        "milliseconds": figures[item]["milliseconds"],
        "ratio": figures[item]["ratio"],
    }
