"""The vocabulary a language gives to the pages. English and Chinese each fill one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


@dataclass(frozen=True)
class Words:
    """Invented names and everyday phrases; no persons, no brands, only characters PP-OCR's dictionary has."""

    shops: tuple[str, ...]
    trades: tuple[str, ...]
    streets: tuple[str, ...]
    towns: tuple[str, ...]
    firms: tuple[str, ...]
    goods: tuple[str, ...]
    services: tuple[str, ...]
    titles: tuple[str, ...]
    fields: tuple[str, ...]
    """Each `name = kind`, the kind naming what is filled in: see phrases.field."""
    columns: tuple[str, ...]
    totals: tuple[str, ...]
    answers: tuple[str, ...]
    thanks: tuple[str, ...]
    signs: tuple[str, ...]
    notices: tuple[str, ...]


def pick(rng: np.random.Generator, items: Sequence[Item]) -> Item:
    """One of the items, each as likely as the next."""
    return items[int(rng.integers(len(items)))]


def several(rng: np.random.Generator, items: Sequence[Item], count: int) -> list[Item]:
    """That many different items, in random order; fewer if there are fewer."""
    return [items[int(place)] for place in rng.permutation(len(items))[:count]]


def words(text: str) -> tuple[str, ...]:
    """The entries of a list written one or more to a line, parted by `|` or by the end of the line."""
    return tuple(entry.strip() for row in text.splitlines() for entry in row.split("|") if entry.strip())
