"""Figures as people read them, with their units; what is missing is a dash."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Optional

MISSING = "–"
_MINUS = "−"  # as wide as the plus, so that columns of figures stay straight


def look_up(data: Any, *path: str) -> Any:
    """The value at `path` in nested mappings; None where a step is missing."""
    for key in path:
        if not isinstance(data, Mapping):
            return None
        data = data.get(key)
    return data


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The mappings in a list that may be missing."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    return [item for item in value if isinstance(item, Mapping)]


def finite(value: Any) -> Optional[float]:
    """`value` as a float; None where it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def number(value: Any, digits: int = 2, unit: str = "") -> str:
    """`1,234.50 ms`."""
    found = finite(value)
    if found is None:
        return MISSING
    shown = f"{found:,.{digits}f}"
    if float(shown.replace(",", "")) == 0:
        shown = shown.lstrip("-")
    return shown.replace("-", _MINUS) + (f" {unit}" if unit else "")


def significant(value: Any, digits: int = 3) -> str:
    """With so many significant digits, as suits scales of any magnitude: `0.0473`, `1.2e−07`."""
    found = finite(value)
    return MISSING if found is None else f"{found:.{digits}g}".replace("-", _MINUS)


def percent(share: Any, digits: int = 1) -> str:
    """A share in 0..1 as `93.0 %`."""
    found = finite(share)
    return MISSING if found is None else number(100 * found, digits, "%")


def points(drop: Any) -> str:
    """A drop in points: `0.20`; negative where it is a gain."""
    return number(drop, 2)


def interval(lower: Any, upper: Any) -> str:
    """`−0.15 to 0.48`; open where a bound is missing, empty where both are."""
    if finite(lower) is None and finite(upper) is None:
        return ""
    if finite(lower) is None:
        return f"up to {points(upper)}"
    return f"{points(lower)} to {points(upper)}" if finite(upper) is not None else f"from {points(lower)}"


def size(count: Any) -> str:
    """Bytes as `1.30 MB` (10^6 bytes)."""
    found = finite(count)
    return MISSING if found is None else number(found / 1e6, 2, "MB")


def duration(seconds: Any) -> str:
    """`8.2 s`, `2 min 5 s`."""
    found = finite(seconds)
    if found is None:
        return MISSING
    if found < 60:
        return number(found, 1, "s")
    return f"{int(found) // 60} min {int(found) % 60} s"


def counted(count: Any, noun: str) -> str:
    """`1 sample`, `82 samples`."""
    return f"{number(count, 0)} {noun}" + ("" if count == 1 else "s")


def listed(items: Sequence[str], most: int = 8) -> str:
    """`a, b and c`; of more than `most`, the first and how many more."""
    shown = list(items[:most])
    if len(items) > most:
        return f"{', '.join(shown)} and {len(items) - most} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))


def plain(value: Any) -> str:
    """Any JSON value in one line."""
    if value is None:
        return MISSING
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {plain(item)}" for key, item in value.items()) or MISSING
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(item) for item in value) or MISSING
    return str(value)
