"""The layers of a model as tables: what each runs in, what eight bits do to it; and activations out of range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from toolkit.report import advice, outcomes, text
from toolkit.report.tables import Cell, Column, Row, Table, figure, said, stacked, without_empty_columns
from toolkit.report.text import look_up

# Layers that the page shows at first; the rest is folded away.
WORST = 8
# Of eight bits with a sign, symmetric.
_STEPS = 127

_COLUMNS = (
    Column("#", "Place in the program, as in the plot", numeric=True),
    Column("Layer"),
    Column("Kind"),
    Column("Kernel", "The type that it ran in"),
    Column("Output SQNR, dB", "Signal against all error of its output, its own and inherited", numeric=True),
    Column("Cosine", "Similarity of its output with FP32's; 1 is the same direction", numeric=True),
    Column("Input", "Activations that it reads"),
    Column("Scale", "Real value of one step: the threshold / 127", numeric=True),
    Column("Zero point", numeric=True),
    Column("Clipped", "Share of the values beyond the threshold", numeric=True),
    Column(
        "Input SQNR, dB", "Signal against the rounding and clipping of this activation alone", numeric=True
    ),
    Column("MACs, M", "Millions of multiply-accumulates", numeric=True),
    Column("Time, ms", numeric=True),
    Column("Time, share", numeric=True),
    Column("Why in float"),
)


def table(layers: Sequence[Mapping[str, Any]]) -> Table:
    """All layers, in program order."""
    return without_empty_columns(
        Table(_COLUMNS, tuple(_row(number, item) for number, item in enumerate(layers, 1)))
    )


def worst(layers: Sequence[Mapping[str, Any]], count: int = WORST) -> Table:
    """The layers whose outputs keep least of their signal, under their numbers in the program."""
    known = [(number, item) for number, item in enumerate(layers, 1) if _sqnr(item) is not None]
    found = sorted(known, key=lambda pair: _sqnr(pair[1]) or 0.0)[:count]
    return without_empty_columns(Table(_COLUMNS, tuple(_row(number, item) for number, item in found)))


def _sqnr(layer: Mapping[str, Any]) -> Optional[float]:
    return text.finite(layer.get("output_sqnr_db"))


def _row(number: int, item: Mapping[str, Any]) -> Row:
    inputs = text.mappings(item.get("activations"))
    scales = [_scale(entry) for entry in inputs]
    zeros, clipped, signal = (
        [entry.get(key) for entry in inputs] for key in ("zero_point", "clipped", "sqnr_db")
    )
    macs = text.finite(item.get("macs"))
    cells = (
        figure(number, str(number)),
        said(item.get("name")),
        said(item.get("kind")),
        Cell((), badge=str(item.get("dtype") or outcomes.UNKNOWN)),
        figure(item.get("output_sqnr_db"), text.number(item.get("output_sqnr_db"), 1)),
        figure(item.get("cosine"), text.number(item.get("cosine"), 4)),
        stacked((), [str(entry.get("tensor")) for entry in inputs]),
        stacked(scales, [text.significant(value) for value in scales]),
        stacked(zeros, [text.number(value, 0) for value in zeros]),
        stacked(clipped, [text.percent(value, 3) for value in clipped]),
        stacked(signal, [text.number(value, 1) for value in signal]),
        figure(macs, text.number(macs / 1e6 if macs is not None else None, 1)),
        figure(item.get("milliseconds"), text.number(item.get("milliseconds"), 2)),
        figure(item.get("share_of_time"), text.percent(item.get("share_of_time"))),
        said(item.get("float_because") or ""),
    )  # fmt: skip
    return Row(cells)


def _scale(activation: Mapping[str, Any]) -> Optional[float]:
    threshold = text.finite(activation.get("threshold"))
    return None if threshold is None else threshold / _STEPS


_EXCEEDED = (
    Column("Activation"),
    Column("Validation up to", numeric=True),
    Column("Calibrated up to", numeric=True),
    Column("Times", "Validation / calibration", numeric=True),
    Column("Threshold", "What is larger is clipped", numeric=True),
    Column("Read by"),
)


def exceeded(model: Mapping[str, Any], most: int = 20) -> Table:
    """Activations of which validation has larger values than calibration had, the worst first."""
    rows = []
    for item in advice.worst_first(text.mappings(model.get("exceeded")))[:most]:
        times = advice.factor(item)
        cells = (
            said(item.get("tensor")),
            figure(item.get("validation"), text.significant(item.get("validation"))),
            figure(item.get("calibrated"), text.significant(item.get("calibrated"))),
            figure(times, text.number(times, 1)),
            figure(item.get("threshold"), text.significant(item.get("threshold"))),
            said(text.listed([str(layer) for layer in item.get("layers") or ()], 3)),
        )
        rows.append(Row(cells))
    return Table(_EXCEEDED, tuple(rows))


_STEPS_TAKEN = (
    Column("Step"),
    Column("Layers"),
    Column("Drop, points", "Of the model after it", numeric=True),
    Column("INT8", "Share of the multiply-accumulates that stay in INT8", numeric=True),
    Column("Why"),
)


def fallback(model: Mapping[str, Any], most: int = 60) -> Table:
    """The steps of the search for layers to leave in float."""
    rows = []
    for item in (look_up(model, "fallback", "steps") or ())[:most]:
        step = item if isinstance(item, Mapping) else {"action": item}
        layers = [str(layer) for layer in step.get("layers") or ()]
        cells = (
            said(step.get("action")),
            said(text.listed(layers, 4) or text.MISSING),
            figure(step.get("damage"), text.points(step.get("damage"))),
            figure(step.get("share"), text.percent(step.get("share"), 0)),
            said(step.get("why") or ""),
        )
        rows.append(Row(cells))
    return without_empty_columns(Table(_STEPS_TAKEN, tuple(rows)))
