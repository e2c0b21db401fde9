"""What changed between two releases, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_LINES = 40
_NAMED = ("models", "accuracy", "latency")
_FLAT = ("end_to_end", "agreement", "packages", "cpu")


def text(found: Mapping[str, Any]) -> str:
    """The differences that `toolkit.bundle.diff.compare` found, those of each kind under its name."""
    lines = [f"{found['before']} -> {found['after']}"]
    for title in (*_NAMED, "end_to_end", "agreement", "configs", "packages", "cpu"):
        told = list(_told(title, found[title]))
        lines += [f"\n{title.replace('_', ' ')}", *told] if told else []
    return "\n".join(lines if len(lines) > 1 else [f"{lines[0]}: nothing differs"])


def _told(title: str, changes: Mapping[str, Any]) -> Iterator[str]:
    for name, change in changes.items():
        if title in _NAMED:
            yield from (f"  {name} {key}: {_values(pair)}" for key, pair in change.items())
        elif title in _FLAT:
            yield f"  {name}: {_values(change)}"
        else:
            yield f"  {name}: {change['became']}"
            yield from (f"      {line}" for line in change["lines"][:_LINES])
            more = len(change["lines"]) - _LINES
            yield from [f"      ... {more} lines more"] if more > 0 else []


def _values(pair: tuple[Any, Any]) -> str:
    return " -> ".join(_value(item) for item in pair)


def _value(item: Any) -> str:
    if item is None:
        return "none"
    if isinstance(item, Mapping):
        return str(item.get("level") or "any")
    if isinstance(item, str) and len(item) == 64:
        return f"{item[:12]}..."
    return f"{item:.4g}" if isinstance(item, float) else str(item)
