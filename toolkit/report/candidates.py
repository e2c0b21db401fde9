"""The candidates of a model as a table, and the verdicts for CPUs of lesser instruction sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.report import outcomes, text
from toolkit.report.tables import Cell, Column, Row, Table, figure, said, without_empty_columns
from toolkit.report.text import look_up

_COLUMNS = (
    Column("#", "Number in the plot", numeric=True),
    Column("Candidate"),
    Column("Outcome"),
    Column("Drop, points", "Lost against native FP32 on the same samples; negative: won", numeric=True),
    Column("Speed", "Times as fast as native FP32, measured in turn with it", numeric=True),
    Column(
        "Time, ms", "One inference, the candidates in turn: the median over samples and rounds", numeric=True
    ),
    Column("Metric", "On the samples that it was judged by", numeric=True),
    Column("Samples", numeric=True),
    Column("Better / worse", "Samples with more, and with less right than native FP32", numeric=True),
    Column(
        "Kernels", "Share of the multiply-accumulates by the type that they ran in, from oneDNN's own report"
    ),
    Column("Why"),
    Column("p99, ms", "99 of 100 of these times are shorter; of few, the longest", numeric=True),
    Column("Size", "Program and weights", numeric=True),
    Column("Memory", "Peak of its process", numeric=True),
)

# The types of kernels in the order of their bars.
TYPES = ("int8", "bf16", "fp32")


def table(model: Mapping[str, Any], taken: str = "served") -> Table:
    """Every candidate in the order given, the chosen one marked as `taken`."""
    chosen = outcomes.chosen_of(model)
    rows = [
        _row(number, item, taken if item is chosen else "")
        for number, item in enumerate(outcomes.candidates_of(model), 1)
    ]
    return without_empty_columns(Table(_COLUMNS, tuple(rows)))


def status(candidate: Mapping[str, Any], served: bool = False) -> str:
    """What became of a candidate: `pass`, `fail`, `inconclusive`, `crashed`, `dropped`, `reference` or `searched`."""
    judged = look_up(candidate, "verdict", "outcome")
    if candidate.get("problem"):
        return "crashed"
    if candidate.get("precision") == "native":
        return "reference"
    if judged:
        return str(judged)
    if look_up(candidate, "search", "dropped"):
        return "dropped"
    return "served" if served else "searched"


def measured(candidate: Mapping[str, Any]) -> Mapping[str, Any]:
    """Its verdict where it has one, else what the search saw; empty for neither."""
    return candidate.get("verdict") or candidate.get("search") or {}


def _row(number: int, item: Mapping[str, Any], taken: str) -> Row:
    seen = measured(item)
    split = "search" if item.get("search") and not item.get("verdict") else ""
    memory = item.get("memory_mb")
    cells = (
        figure(number, str(number)),
        said(item.get("label"), note=f"{taken}{_unproven(item)}" if taken else ""),
        Cell((), badge=status(item, bool(taken))),
        figure(seen.get("drop"), text.points(seen.get("drop")), _bounds(seen)),
        _speed(item),
        figure(item.get("milliseconds"), text.number(item.get("milliseconds"), 1)),
        figure(seen.get("value"), text.number(seen.get("value"), 4)),
        figure(seen.get("samples"), text.number(seen.get("samples"), 0), split),
        said(_changes(seen)),
        _kernels(item),
        said(_why(item)),
        figure(item.get("p99"), text.number(item.get("p99"), 1)),
        figure(item.get("bytes"), text.size(item.get("bytes"))),
        figure(memory, text.number(memory, 0) + (" MB" if memory else "")),
    )
    return Row(cells, bool(taken))


def _unproven(item: Mapping[str, Any]) -> str:
    return ", inconclusive" if status(item) == outcomes.INCONCLUSIVE else ""


def _why(item: Mapping[str, Any]) -> str:
    told = item.get("problem") or look_up(item, "verdict", "reason") or look_up(item, "search", "dropped")
    needed = look_up(item, "verdict", "needed")
    more = f"about {text.counted(needed, 'sample')} would decide" if needed else ""
    return "; ".join(filter(None, (str(told or ""), more)))


def _speed(item: Mapping[str, Any]) -> Cell:
    ratio = text.finite(item.get("ratio"))
    return figure(ratio, text.number(ratio, 2) + ("×" if ratio is not None else ""))


def _bounds(seen: Mapping[str, Any]) -> str:
    return text.interval(seen.get("lower"), seen.get("upper"))


def _changes(seen: Mapping[str, Any]) -> str:
    better, worse = seen.get("better"), seen.get("worse")
    return (
        text.MISSING
        if better is None and worse is None
        else f"{text.number(better, 0)} / {text.number(worse, 0)}"
    )


def _kernels(item: Mapping[str, Any]) -> Cell:
    shares = [(name, text.finite(look_up(item, "share", name))) for name in TYPES]
    parts = tuple((name, round(100 * share, 1)) for name, share in shares if share)
    shown = ", ".join(f"{outcomes.named(name)} {text.number(part, 0)} %" for name, part in parts)
    lines = (shown,) if shown else ()
    return Cell(
        lines,
        sort=text.finite(look_up(item, "share", "int8")),
        parts=parts,
        note=str(item.get("kernels") or ""),
    )


_LEVELS = (
    Column("Instruction set", "The most that the CPU has"),
    Column("Kept"),
    Column("Outcome"),
    Column("Drop, points", "Lost against native FP32 on the same samples; negative: won", numeric=True),
    Column("Speed", "Times as fast as native FP32 with these instructions", numeric=True),
    Column("Time, ms", "One inference", numeric=True),
    Column("Metric", numeric=True),
    Column("Samples", numeric=True),
)


def levels(model: Mapping[str, Any]) -> Table:
    """What is kept on a CPU of each instruction set."""
    found = model.get("levels")
    rows = []
    for name, item in found.items() if isinstance(found, Mapping) else ():
        entry = item if isinstance(item, Mapping) else {}
        verdict = entry.get("verdict") or {}
        cells = (
            said(name),
            said(entry.get("label"), note=_refused(entry)),
            Cell((), badge=_level_status(entry), note=_why(entry)),
            figure(verdict.get("drop"), text.points(verdict.get("drop")), _bounds(verdict)),
            _speed(entry),
            figure(entry.get("milliseconds"), text.number(entry.get("milliseconds"), 1)),
            figure(verdict.get("value"), text.number(verdict.get("value"), 4)),
            figure(verdict.get("samples"), text.number(verdict.get("samples"), 0)),
        )
        rows.append(Row(cells))
    return without_empty_columns(Table(_LEVELS, tuple(rows)))


def _level_status(entry: Mapping[str, Any]) -> str:
    """Native FP32 is the last resort, and has no verdict."""
    judged = look_up(entry, "verdict", "outcome")
    return str(judged or ("reference" if entry.get("label") == "native" else outcomes.UNKNOWN))


def _refused(entry: Mapping[str, Any]) -> str:
    """Why what was tried before it is not kept; the last that was tried is what is kept, if that has a verdict."""
    tried = text.mappings(entry.get("tried"))
    refused = tried[:-1] if entry.get("verdict") else tried
    told = [": ".join(str(item[key]) for key in ("label", "reason") if item.get(key)) for item in refused]
    return f"not kept: {'; '.join(told)}" if told else ""
