"""What the page says: everything that its template shows, made from the evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from toolkit.report import advice, candidates, gallery, layers, outcomes, plots, text
from toolkit.report.advice import Advice
from toolkit.report.gallery import Sample
from toolkit.report.tables import Table
from toolkit.report.text import look_up

# Activations whose histograms are drawn, for each model.
HISTOGRAMS = 6

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Tile:
    """A figure that stands out, with what it is and what it is compared with."""

    title: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Histogram:
    """The histogram of an activation as SVG."""

    tensor: str
    svg: str


@dataclass(frozen=True)
class Model:
    """What the page says of one model; plots are SVG, empty where nothing is known."""

    name: str
    outcome: str
    sentence: str
    metric: str
    candidates: Table
    trade_off: str
    levels: Table
    reverted: tuple[str, ...]
    fallback: Table
    fallback_end: str
    layers: Table
    worst_layers: Table
    layer_plot: str
    histograms: tuple[Histogram, ...]
    exceeded: Table
    exceeded_count: int


@dataclass(frozen=True)
class Page:
    """What the page says.

    Attributes:
        outcome: see `outcomes.outcome`.
        supposed: see `outcomes.supposed`; holds for whole answers and the gallery.
        warnings: None: the data was not looked at.
    """

    title: str
    version: str
    outcome: str
    sentence: str
    supposed: str
    tiles: tuple[Tile, ...]
    advice: tuple[Advice, ...]
    models: tuple[Model, ...]
    gallery: tuple[Sample, ...]
    gallery_more: int
    gate: Pairs
    data: Pairs
    warnings: Optional[tuple[str, ...]]
    environment: Pairs
    packages: Pairs
    digests: Pairs
    seconds: Pairs


def page(evaluation: Mapping[str, Any]) -> Page:
    """The page of an evaluation, of which anything may be missing."""
    models = outcomes.models_of(evaluation)
    environment = look_up(evaluation, "environment")
    return Page(
        title=str(evaluation.get("pipeline") or "evaluation"),
        version=str(evaluation.get("version") or ""),
        outcome=outcomes.outcome(evaluation),
        sentence=outcomes.sentence(evaluation),
        supposed=outcomes.supposed(evaluation),
        tiles=_tiles(evaluation),
        advice=advice.advise(evaluation),
        models=tuple(_model(name, item, evaluation) for name, item in models.items()),
        gallery=gallery.samples(evaluation),
        gallery_more=max(0, len(text.mappings(evaluation.get("gallery"))) - gallery.SAMPLES),
        gate=_gate(evaluation.get("gate")),
        data=_data(evaluation.get("data")),
        warnings=_warnings(evaluation),
        environment=_environment(environment),
        packages=_pairs(look_up(environment, "packages")),
        digests=_pairs(look_up(environment, "keys")),
        seconds=_seconds(evaluation.get("seconds")),
    )


def _tiles(evaluation: Mapping[str, Any]) -> tuple[Tile, ...]:
    found: list[Tile] = []
    whole = evaluation.get("end_to_end")
    if look_up(whole, "served") is not None:
        metric, native = str(look_up(whole, "metric") or ""), text.percent(look_up(whole, "native"))
        mark = ", inconclusive" if look_up(whole, "verdict", "outcome") == outcomes.INCONCLUSIVE else ""
        supposed = outcomes.supposed(evaluation)
        note = f"native FP32 {native}{mark}" + (f"; hypothetical: {supposed}" if supposed else "")
        found.append(Tile(f"end to end, {metric}", text.percent(look_up(whole, "served")), note))
    found += _agreement(look_up(whole, "agreement"))
    for name, model in outcomes.models_of(evaluation).items():
        item = outcomes.chosen_of(model) or outcomes.best_int8_of(model)
        if item is not None:
            found += _tiles_of(name, model, item)
    return tuple(found)


def _agreement(found: Any) -> list[Tile]:
    """Whole answers beside those of native FP32, where they were compared."""
    if text.finite(look_up(found, "rate")) is None:
        return []
    what = f"{look_up(found, 'kind')} of {text.counted(look_up(found, 'samples'), 'sample')}"
    note = f"{what}, at most {text.percent(look_up(found, 'high'), 2)} with 95 % confidence"
    return [Tile("answers that differ from native FP32's", text.percent(found["rate"], 2), note)]


def _tiles_of(name: str, model: Mapping[str, Any], item: Mapping[str, Any]) -> list[Tile]:
    """Of the candidate that is served, or of the INT8 candidate that came furthest."""
    what = outcomes.named(item.get("precision")) + ("" if outcomes.chosen_of(model) else ", not served")
    seen, mark = candidates.measured(item), candidates.status(item)
    unproven = ", inconclusive" if mark == outcomes.INCONCLUSIVE else ""
    found = []
    if text.finite(seen.get("drop")) is not None:
        found.append(Tile(f"{name}: points lost", text.points(seen["drop"]), what + unproven))
    if text.finite(item.get("ratio")) is not None:
        found.append(
            Tile(f"{name}: speed", text.number(item["ratio"], 2) + "×", f"{what}, against native FP32")
        )
    before, after = (text.finite(entry.get("bytes")) for entry in (outcomes.native_of(model), item))
    if before and after:
        found.append(Tile(f"{name}: size", text.percent(after / before, 0), f"of {text.size(before)}"))
    return found


def _model(name: str, model: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Model:
    found, taken = text.mappings(model.get("layers")), outcomes.taken(evaluation)
    return Model(
        name=name,
        outcome=_outcome_of(model, outcomes.outcome(evaluation)),
        sentence=str(model.get("sentence") or ""),
        metric=str(model.get("metric") or "metric"),
        candidates=candidates.table(model, taken),
        trade_off=plots.trade_off(model, outcomes.limit_in_points(evaluation, model), taken),
        levels=candidates.levels(model),
        reverted=tuple(advice.reverted(item) for item in look_up(model, "fallback", "excluded") or ()),
        fallback=layers.fallback(model),
        fallback_end=_fallback_end(model),
        layers=layers.table(found),
        worst_layers=layers.worst(found),
        layer_plot=plots.by_layer(found),
        histograms=_histograms(model.get("histograms")),
        exceeded=layers.exceeded(model),
        exceeded_count=len(text.mappings(model.get("exceeded"))),
    )


def _outcome_of(model: Mapping[str, Any], whole: str) -> str:
    chosen = outcomes.chosen_of(model)
    if chosen is not None:
        return candidates.status(chosen, served=True)
    # Where the rest passes, that nothing of a model is served is no failure.
    passed = whole in (outcomes.PASS, outcomes.INCONCLUSIVE)
    return "not served" if passed and outcomes.is_unserved(model) else outcomes.FAIL


def _fallback_end(model: Mapping[str, Any]) -> str:
    ended = look_up(model, "fallback", "exhausted")
    return advice.ENDED.get(str(ended), str(ended)) if ended else ""


def _histograms(found: Any) -> tuple[Histogram, ...]:
    items = list(found.items())[:HISTOGRAMS] if isinstance(found, Mapping) else []
    drawn = (Histogram(str(tensor), plots.histogram(str(tensor), entry)) for tensor, entry in items if entry)
    return tuple(item for item in drawn if item.svg)


_POLICIES = {
    "accept": "accepted when the estimate is within the limit, and stays marked",
    "reject": "counts as failed",
    "next": "the next candidate is judged",
}


def _gate(gate: Any) -> Pairs:
    if not isinstance(gate, Mapping):
        return ()
    unit = "% of native FP32's value" if gate.get("relative") else "points"
    policy = str(gate.get("inconclusive"))
    return (
        ("Limit", f"a drop under {text.significant(gate.get('max_drop'))} {unit}"),
        (
            "Confidence",
            f"{text.percent(gate.get('confidence'), 0)}, one-sided, by a bootstrap of whole samples",
        ),
        ("Inconclusive", _POLICIES.get(policy, policy)),
        ("Preference", str(gate.get("prefer"))),
        ("INT8 at least", f"{text.percent(gate.get('int8_share'), 0)} of the multiply-accumulates"),
    )


def _data(data: Any) -> Pairs:
    if not isinstance(data, Mapping):
        return ()
    uses = {
        "calibration": "ranges of the activations",
        "search": "racing and fallback",
        "verdict": "judges the chosen candidate, once",
    }
    splits = look_up(data, "splits")
    rows = [
        (f"Split: {name}", f"{text.counted(count, 'sample')}" + (f"; {uses[name]}" if name in uses else ""))
        for name, count in (splits.items() if isinstance(splits, Mapping) else ())
    ]
    return (("Directory", str(data.get("directory"))), *rows, ("Digest", str(data.get("digest"))))


def _warnings(evaluation: Mapping[str, Any]) -> Optional[tuple[str, ...]]:
    found = look_up(evaluation, "data", "warnings")
    return None if found is None else tuple(str(item) for item in found)


def _environment(found: Any) -> Pairs:
    names = (
        ("cpu", "CPU"),
        ("level", "Instruction set"),
        ("features", "CPU features"),
        ("threads", "Threads"),
    )
    return tuple(
        (title, text.plain(look_up(found, key))) for key, title in names if look_up(found, key) is not None
    )


def _pairs(found: Any) -> Pairs:
    if not isinstance(found, Mapping):
        return ()
    return tuple((str(name), text.plain(value)) for name, value in sorted(found.items()))


def _seconds(found: Any) -> Pairs:
    if not isinstance(found, Mapping):
        return ()
    return tuple((str(name), text.duration(value)) for name, value in found.items())
