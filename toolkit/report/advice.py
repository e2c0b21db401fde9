"""What to do, as the facts of an evaluation suggest it: one piece of advice for each fact that is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Optional

from toolkit.report import outcomes, text
from toolkit.report.text import look_up

# dB; rounding to eight bits alone leaves a layer 30 to 45 dB, below this its output is visibly another one.
LOW_SQNR = 15.0


@dataclass(frozen=True)
class Advice:
    """A fact, what follows from it, and what it rests on.

    Attributes:
        title: the fact.
        remedy: what to do.
        facts: lines of detail.
    """

    title: str
    remedy: str
    facts: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "facts": list(self.facts)}


def advise(evaluation: Mapping[str, Any]) -> tuple[Advice, ...]:
    """All advice that fits: what touches the data first, since the rest depends on them."""
    failed = outcomes.outcome(evaluation) == outcomes.FAIL
    found: list[Advice] = []
    models = outcomes.models_of(evaluation)
    # Where each model passes by itself, the whole failed, and any of them may be to blame.
    suspects = {name for name, model in models.items() if outcomes.chosen_of(model) is None} or set(models)
    for name, model in models.items():
        found += _exceeded(name, model)
        found += _undecided(name, model)
        if failed and name in suspects:
            found += [
                *_low_share(name, model, evaluation),
                *_fallback(name, model),
                *_weak_layers(name, model),
            ]
            found += [*_problems(name, model), *_others(name, model)]
    found += _warnings(evaluation)
    if failed and not found:
        found.append(_general())
    found += _limits(evaluation)
    return tuple(found)


def _exceeded(name: str, model: Mapping[str, Any]) -> Iterator[Advice]:
    found = worst_first(text.mappings(model.get("exceeded")))
    if not found:
        return
    yield Advice(
        f"{name}: validation goes beyond the calibrated range of {text.counted(len(found), 'activation')}",
        "The calibration data does not look like the validation data. Calibrate with samples from the same source as "
        "those that the service will see: the same cameras or scanners, sizes, languages and lighting, in their mix.",
        tuple(_beyond(item) for item in found[:5]),
    )


def worst_first(exceeded: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Exceeded ranges, those that validation goes beyond by the largest factor first."""
    return sorted(exceeded, key=lambda item: -(factor(item) or 0))


def factor(item: Mapping[str, Any]) -> Optional[float]:
    """How many times the calibrated range the validation data reaches."""
    reached = text.finite(item.get("validation"))
    known = text.finite(item.get("calibrated")) or text.finite(item.get("threshold"))
    return reached / known if reached is not None and known else None


def _beyond(item: Mapping[str, Any]) -> str:
    layers = [str(layer) for layer in item.get("layers") or ()]
    read = f", read by {text.listed(layers, 4)}" if layers else ""
    return (
        f"{item.get('tensor')}: up to {text.significant(item.get('validation'))}, calibrated up to "
        f"{text.significant(item.get('calibrated'))} ({text.number(factor(item), 1)} times){read}"
    )


def _undecided(name: str, model: Mapping[str, Any]) -> Iterator[Advice]:
    judged = outcomes.chosen_of(model) or outcomes.best_int8_of(model) or {}
    if look_up(judged, "verdict", "outcome") != outcomes.INCONCLUSIVE:
        return
    samples, needed = look_up(judged, "verdict", "samples"), look_up(judged, "verdict", "needed")
    bounds = text.interval(look_up(judged, "verdict", "lower"), look_up(judged, "verdict", "upper"))
    yield Advice(
        f"{name}: too few samples to decide, the verdict is inconclusive",
        f"About {text.counted(needed, 'sample')} would decide: label more for validation."
        if needed
        else "No number of samples would settle it, the drop is too close to the limit. Decide with `inconclusive` in "
        "the gate of the pipeline spec: `accept`, `reject` or `next`.",
        (
            f"{judged.get('label')}: {text.points(look_up(judged, 'verdict', 'drop'))} points lost on "
            f"{text.counted(samples, 'sample')}" + (f", between {bounds}" if bounds else ""),
        ),
    )


def _low_share(name: str, model: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Iterator[Advice]:
    floor = text.finite(look_up(evaluation, "gate", "int8_share"))
    best = outcomes.best_int8_of(model) or {}
    share = text.finite(look_up(best, "share", "int8"))
    if floor is None or share is None or share >= floor:
        return
    slow = sorted(
        (item for item in _layers(model) if item.get("dtype") != "int8" and text.finite(item.get("macs"))),
        key=lambda item: -float(item["macs"]),
    )
    yield Advice(
        f"{name}: only {text.percent(share, 0)} of its multiply-accumulates ran in INT8, {text.percent(floor, 0)} "
        "are asked for",
        "So much had to stay in float that little of INT8 is left. Look at the calibration data first; then at the "
        "layers below, the largest that ran in float.",
        tuple(_layer(item) for item in slow[:5]),
    )


def _layer(item: Mapping[str, Any]) -> str:
    because = f": {item['float_because']}" if item.get("float_because") else ""
    return f"{item.get('name')} ({item.get('kind')}, {item.get('dtype')}){because}"


def _fallback(name: str, model: Mapping[str, Any]) -> Iterator[Advice]:
    fallback = model.get("fallback")
    facts = [reverted(item) for item in (look_up(fallback, "excluded") or ())]
    if not facts:
        return
    ended = look_up(fallback, "exhausted")
    yield Advice(
        f"{name}: leaving {text.counted(len(facts), 'layer')} in float was not enough"
        if len(facts) == 1 or ended is None
        else f"{name}: leaving {text.counted(len(facts), 'layer')} in float was not enough ({ENDED.get(ended, ended)})",
        "The first of them did the most harm. Where one gives back most of the loss, name it in `quantize.skip` of the "
        "pipeline spec and give the search a larger budget for the rest; where all give back a little, the calibration "
        "data or the algorithm is to blame.",
        tuple(facts[:8]),
    )


ENDED = {
    "budget": "the time budget was used up",
    "share": "more would have left less in INT8 than is asked for",
    "gains": "no other layer gave anything back",
}


def reverted(item: Any) -> str:
    """A layer, or a group of layers, that the fallback left in float, and what that gave back."""
    if not isinstance(item, Mapping):
        return str(item)
    layers = text.listed([str(layer) for layer in item.get("layers") or [item.get("name")]])
    gave = text.finite(item.get("gave_back"))
    return f"{layers} gives back {text.points(gave)} points" if gave is not None else layers


def _weak_layers(name: str, model: Mapping[str, Any]) -> Iterator[Advice]:
    found = [
        (float(item["output_sqnr_db"]), item)
        for item in _layers(model)
        if item.get("dtype") == "int8" and text.finite(item.get("output_sqnr_db")) is not None
    ]
    weak = sorted((pair for pair in found if pair[0] < LOW_SQNR), key=lambda pair: pair[0])
    if weak:
        yield Advice(
            f"{name}: {text.counted(len(weak), 'INT8 layer')} keep less than {LOW_SQNR:g} dB of their signal"
            if len(weak) > 1
            else f"{name}: an INT8 layer keeps less than {LOW_SQNR:g} dB of its signal",
            "The error of a layer holds what it inherits: look for the first drop in the plot of the layers. Where "
            "many values are clipped there, calibrate with a higher percentile or `minmax`; where few are, the range "
            "is too wide for 255 steps: a lower percentile, `equalize`, or that layer in float.",
            tuple(
                f"{item.get('name')} ({item.get('kind')}): {text.number(db, 1, 'dB')}{_clipped(item)}"
                for db, item in weak[:5]
            ),
        )


def _clipped(layer: Mapping[str, Any]) -> str:
    shares = [text.finite(item.get("clipped")) for item in text.mappings(layer.get("activations"))]
    known = [share for share in shares if share is not None]
    return f", {text.percent(max(known), 3)} of its input clipped" if known else ""


def _problems(name: str, model: Mapping[str, Any]) -> Iterator[Advice]:
    broken = [item for item in outcomes.candidates_of(model) if item.get("problem")]
    if broken:
        yield Advice(
            f"{name}: {text.counted(len(broken), 'candidate')} did not run",
            "The log of the measurement has the whole output. A crash says nothing of the accuracy.",
            tuple(f"{item.get('label')}: {item['problem']}" for item in broken[:5]),
        )


def _others(name: str, model: Mapping[str, Any]) -> Iterator[Advice]:
    """Candidates that would pass where another precision is forced."""
    passing = [
        item
        for item in outcomes.candidates_of(model)
        if look_up(item, "verdict", "outcome") == outcomes.PASS and item.get("precision") != "native"
    ]
    if passing and outcomes.chosen_of(model) is None:
        yield Advice(
            f"{name}: another candidate passes",
            "If INT8 is not a must, leave the precision open (no PRECISION), or set `prefer: latency` in the gate.",
            tuple(
                f"{item.get('label')}: {text.points(look_up(item, 'verdict', 'drop'))} points lost, "
                f"{text.number(item.get('ratio'), 2)} times as fast as native FP32"
                for item in passing[:3]
            ),
        )


def _warnings(evaluation: Mapping[str, Any]) -> Iterator[Advice]:
    warnings = look_up(evaluation, "data", "warnings") or ()
    if warnings:
        yield Advice(
            f"The data has {text.counted(len(warnings), 'flaw')}",
            "A verdict is worth as much as its samples: remove duplicates, and what calibration and validation share.",
            tuple(str(item) for item in warnings),
        )


def _limits(evaluation: Mapping[str, Any]) -> Iterator[Advice]:
    limits = look_up(evaluation, "data", "limits") or ()
    if limits:
        yield Advice(
            "What these figures cannot say",
            "With labelled images (DATA) and trained weights the gate judges accuracy itself.",
            tuple(str(item) for item in limits),
        )


def _general() -> Advice:
    return Advice(
        "Nothing in the data explains the failure",
        "Calibrate with more samples, give the search more time (BUDGET), or allow another precision. If the drop is "
        "acceptable for this service, raise `max_drop` in the gate. Quantization-aware training is the last resort.",
    )


def _layers(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return text.mappings(model.get("layers"))
