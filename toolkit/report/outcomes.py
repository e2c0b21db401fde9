"""What the evaluation came to, in one word and in one sentence; an inconclusive verdict never hides behind a pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from toolkit.evaluation import agreement
from toolkit.report import text
from toolkit.report.text import look_up

PASS, FAIL, INCONCLUSIVE, UNKNOWN = "pass", "fail", "inconclusive", "unknown"

_PRECISIONS = {"native": "native FP32", "fp32": "FP32", "bf16": "bf16", "int8": "INT8"}


def models_of(evaluation: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The models by name; those of which nothing is known are empty."""
    found = evaluation.get("models")
    items = found.items() if isinstance(found, Mapping) else ()
    return {str(name): entry if isinstance(entry, Mapping) else {} for name, entry in items}


def candidates_of(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The candidates of a model."""
    return text.mappings(model.get("candidates"))


def chosen_of(model: Mapping[str, Any]) -> Optional[Mapping[str, Any]]:
    """The candidate that is served; None where none is."""
    label = model.get("chosen")
    return next((item for item in candidates_of(model) if label and item.get("label") == label), None)


def native_of(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """The reference; empty where it was not measured."""
    return next((item for item in candidates_of(model) if item.get("precision") == "native"), {})


def best_int8_of(model: Mapping[str, Any]) -> Optional[Mapping[str, Any]]:
    """The INT8 candidate that came furthest: the one that was judged, else the one that lost least in the search."""
    found = [item for item in candidates_of(model) if item.get("precision") == "int8"]
    judged = [item for item in found if item.get("verdict")]
    searched = [item for item in found if text.finite(look_up(item, "search", "drop")) is not None]
    if judged or searched:
        stage = "verdict" if judged else "search"
        return min(judged or searched, key=lambda item: _drop(item, stage))
    return next(iter(found), None)


def _drop(candidate: Mapping[str, Any], stage: str) -> float:
    drop = text.finite(look_up(candidate, stage, "drop"))
    return float("inf") if drop is None else drop


def named(precision: Any) -> str:
    """A precision as it is written in sentences."""
    return _PRECISIONS.get(str(precision), str(precision))


def is_unserved(model: Mapping[str, Any]) -> bool:
    """Whether it was decided that a model is not served; not so where nothing is known of a decision."""
    return "chosen" in model and model["chosen"] is None


def taken(evaluation: Mapping[str, Any]) -> str:
    """What a chosen candidate is: `served`; only `chosen` where the gate failed, since nothing is served then."""
    return "chosen" if outcome(evaluation) == FAIL else "served"


def supposed(evaluation: Mapping[str, Any]) -> str:
    """What whole answers were measured with although it is not served; empty where they are those of the service."""
    if not look_up(evaluation, "end_to_end", "hypothetical"):
        return ""
    models = list(models_of(evaluation).values())
    at_fault = [model for model in models if chosen_of(model) is None] or models
    used = {named(item.get("precision")) for model in at_fault for item in _ran(model)}
    if not used:
        return "as it would be in native FP32, since no candidate ran"
    return f"as it would be with the best {f'{used.pop()} ' if len(used) == 1 else ''}candidate"


def _ran(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The candidate that was chosen; without one all that were judged and ran. Never the reference."""
    chosen = chosen_of(model)
    found = candidates_of(model) if chosen is None else [chosen]
    return [
        item
        for item in found
        if item.get("precision") != "native" and look_up(item, "verdict", "value") is not None
    ]


def is_inconclusive(model: Mapping[str, Any]) -> bool:
    """Whether what is served of a model was neither proven good nor proven bad."""
    return bool(look_up(chosen_of(model), "verdict", "outcome") == INCONCLUSIVE)


def outcome(evaluation: Mapping[str, Any]) -> str:
    """`pass`, `fail`, `inconclusive` (passed, but not proven), or `unknown`."""
    passed = evaluation.get("passed")
    if passed is None:
        return UNKNOWN
    if not passed:
        return FAIL
    whole = look_up(evaluation, "end_to_end", "verdict", "outcome")
    if whole == INCONCLUSIVE or any(map(is_inconclusive, models_of(evaluation).values())):
        return INCONCLUSIVE
    return PASS


def sentence(evaluation: Mapping[str, Any]) -> str:
    """The verdict in one sentence."""
    name, found = evaluation.get("pipeline") or "the pipeline", outcome(evaluation)
    if found == UNKNOWN:
        return f"{name} has not been judged."
    if found == FAIL:
        reason = str(evaluation.get("reason") or "no candidate kept the accuracy that is asked for")
        return f"{name} does not pass the gate: {reason.rstrip('.')}."
    served = text.listed([_served(key, model) for key, model in models_of(evaluation).items()]) or "nothing"
    if found == PASS:
        return f"{name} passes the gate with {served}: {_limit(evaluation)}{_whole(evaluation)}."
    return f"{name} is accepted as inconclusive, with {served}: {_limit(evaluation)}{_whole(evaluation)}."


def _served(name: str, model: Mapping[str, Any]) -> str:
    if is_unserved(model):
        return f"{name} not served"
    found = chosen_of(model)
    mark = " (inconclusive)" if is_inconclusive(model) else ""
    return f"{name} in {named(found.get('precision')) if found else 'no form that is known'}{mark}"


def _limit(evaluation: Mapping[str, Any]) -> str:
    gate = evaluation.get("gate")
    unit = "%" if look_up(gate, "relative") else "points"
    limit = f"{text.significant(look_up(gate, 'max_drop'))} {unit}"
    confidence = text.percent(look_up(gate, "confidence"), 0)
    if outcome(evaluation) == PASS:
        return f"a drop of less than {limit} against native FP32 is proven with {confidence} confidence"
    return f"the samples do not prove a drop of less than {limit} against native FP32 with {confidence} confidence"


def _whole(evaluation: Mapping[str, Any]) -> str:
    whole = evaluation.get("end_to_end")
    served, native = look_up(whole, "served"), look_up(whole, "native")
    if served is None or native is None or supposed(evaluation):
        return ""
    if look_up(whole, "by") == "agreement":
        unit = agreement.UNITS.get(str(look_up(whole, "agreement", "kind")), "answers")
        return f"; end to end {text.percent(served)} of the {unit} are those of native FP32"
    lines = look_up(whole, "lines")
    of = f" of {text.counted(lines, 'line')}" if lines else ""
    return f"; end to end {text.percent(served)}{of} are right, {text.percent(native)} in native FP32"


def limit_in_points(evaluation: Mapping[str, Any], model: Mapping[str, Any]) -> Optional[float]:
    """The drop that the gate allows a model, in points; None where it is not known."""
    limit = text.finite(look_up(evaluation, "gate", "max_drop"))
    if limit is None or not look_up(evaluation, "gate", "relative"):
        return limit
    native = native_of(model)
    value = text.finite(look_up(native, "verdict", "value") or look_up(native, "search", "value"))
    return None if value is None else limit * value
