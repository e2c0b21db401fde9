"""Tables as the page shows them: columns, and cells that carry their text and what to sort by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from toolkit.report import text


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        hint: what it says, shown on its head.
        numeric: aligned to the right.
    """

    title: str
    hint: str = ""
    numeric: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        lines: one line each.
        sort: what a column is sorted by instead of the text; None: nothing to sort by.
        badge: an outcome (`pass`, `fail`, `inconclusive`, ...) shown as a mark.
        note: said under it, smaller.
        parts: percent by precision, drawn as a bar.
    """

    lines: tuple[str, ...] = ()
    sort: Optional[float] = None
    badge: str = ""
    note: str = ""
    parts: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Row:
    """A row; a marked one stands out."""

    cells: tuple[Cell, ...]
    marked: bool = False


@dataclass(frozen=True)
class Table:
    """A table."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def said(value: Any, note: str = "") -> Cell:
    """A cell of text."""
    return Cell((text.MISSING if value is None else str(value),), note=note)


def figure(value: Any, shown: str, note: str = "") -> Cell:
    """A cell of a number that is shown as `shown`."""
    return Cell((shown,), sort=text.finite(value), note=note)


def stacked(values: Sequence[Any], shown: Sequence[str]) -> Cell:
    """A cell of several numbers, sorted by the first that is one."""
    found = [item for item in map(text.finite, values) if item is not None]
    return Cell(tuple(shown) or (text.MISSING,), sort=found[0] if found else None)


def without_empty_columns(table: Table) -> Table:
    """The table without the columns that no row has anything in."""
    kept = [
        index
        for index in range(len(table.columns))
        if any(_says_something(row.cells[index]) for row in table.rows)
    ]
    rows = tuple(Row(tuple(row.cells[index] for index in kept), row.marked) for row in table.rows)
    return Table(tuple(table.columns[index] for index in kept), rows)


def _says_something(cell: Cell) -> bool:
    lines = any(line not in ("", text.MISSING) for line in cell.lines)
    return bool(lines or cell.badge or cell.note or cell.parts)
