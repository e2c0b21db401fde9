"""Semantic versions (semver.org, 2.0.0): which strings are one, and their order."""

from __future__ import annotations

import re

# The expression that semver.org gives.
_PATTERN = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?",
    re.ASCII,
)

Order = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...], str]


def is_semantic(text: str) -> bool:
    """Whether `text` is a semantic version."""
    return _PATTERN.fullmatch(text) is not None


def order(text: str) -> Order:
    """What to sort versions by: a pre-release comes before its release; build metadata only make the order total.

    Raises:
        ValueError: `text` is no semantic version.
    """
    found = _PATTERN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no semantic version")
    *numbers, before, build = found.groups()
    return tuple(int(item) for item in numbers), before is None, _identifiers(before), build or ""


def _identifiers(text: str) -> tuple[tuple[bool, int, str], ...]:
    """Numbers come before words."""
    parts = text.split(".") if text else []
    return tuple((not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts)
