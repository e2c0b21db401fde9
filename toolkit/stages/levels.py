"""What is kept of a model for lesser CPUs: those with less of the instruction sets that a release may meet.

Other instructions give other numbers (INT8 saturates without VNNI) and other times, so each is measured by itself,
unless a model is seen to run the same kernels.
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


def keep(judged: Mapping[str, Judged], pool: Executor) -> dict[str, dict[str, Any]]:
    """For each level below this machine's that the spec names: the fastest that may be served there, else native FP32.

    To be called while nothing else runs, since it measures times.

    Returns:
        By model and level `label`, `serving`, `milliseconds` and `ratio` of what is kept, its `verdict` (None: native
        FP32), and `tried`: all that was looked at, in its order, with verdicts.
    """
    # INT8 that is no candidate leaves nothing to look at: what is not quantized does not depend on the CPU's INT8.
    items = {name: item for name, item in judged.items() if item.searched is not None}
    places = [(name, level) for name, item in items.items() for level in _wanted(item)]
    portable = {name: _portable(item) for name, item in items.items()}
    figures = [_figures(items[name], portable[name], level) for name, level in places]
    found = pool.map(lambda place, times: _at(items[place[0]], place[1], times), places, figures)
    kept: dict[str, dict[str, Any]] = {name: {} for name in judged}
    for (name, level), entry in zip(places, found):
        kept[name][level] = entry
    return kept


def _wanted(judged: Judged) -> list[str]:
    return [item for item in cpu.levels_below() if item in judged.context.spec.gate.levels]


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
    known = [judged.same_as(item) for item in everything]
    # Native FP32 takes its own look at the processor, whatever oneDNN is told.
    if all(known) and all(measure.runs_alike(judged.context, item, level) for item in portable):
        return {item: judged.figures[one] for item, one in zip(everything, known) if one}
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
