"""Numbers and names in the shapes documents give them: prices, dates, telephone numbers, codes, addresses.

Letters that look like digits are left out of mixed codes: a label must be what a person would read.
"""

from __future__ import annotations

from typing import Callable

import numpy as np

from .chinese import CHINESE
from .words import Words, pick

LETTERS = "ABCDEFGHJKLMNPRTUVWXY"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def digits(rng: np.random.Generator, count: int) -> str:
    """A number of that many digits."""
    return "".join(str(int(digit)) for digit in rng.integers(0, 10, count))


def letters(rng: np.random.Generator, count: int) -> str:
    """That many capital letters."""
    return "".join(pick(rng, LETTERS) for _ in range(count))


def amount(rng: np.random.Generator, largest: float = 500.0) -> str:
    """A sum of money without its currency; small sums are the common ones."""
    value = float(np.exp(rng.uniform(np.log(0.5), np.log(largest))))
    return f"{value:,.2f}"


def price(rng: np.random.Generator, words: Words, largest: float = 500.0) -> str:
    """A sum of money, often with its currency."""
    value = amount(rng, largest)
    if rng.random() < 0.6:
        return value
    if words is CHINESE:
        return value + "元"
    return pick(rng, ("$", "$", "USD ", "RM ")) + value


def date(rng: np.random.Generator, words: Words) -> str:
    """A day between 2016 and 2029 in one of the language's ways to write it."""
    year, month, day = int(rng.integers(2016, 2030)), int(rng.integers(1, 13)), int(rng.integers(1, 29))
    if words is CHINESE and rng.random() < 0.6:
        return f"{year}年{month:02d}月{day:02d}日"
    shapes = (
        f"{year}-{month:02d}-{day:02d}",
        f"{day:02d}/{month:02d}/{year}",
        f"{year}.{month:02d}.{day:02d}",
    )
    if words is CHINESE:
        return pick(rng, shapes)
    return pick(rng, (*shapes, f"{day:02d} {MONTHS[month - 1]} {year}", f"{MONTHS[month - 1]} {day}, {year}"))


def clock(rng: np.random.Generator) -> str:
    """A time of day, with seconds half of the time."""
    hour, minute, second = int(rng.integers(6, 23)), int(rng.integers(60)), int(rng.integers(60))
    return f"{hour:02d}:{minute:02d}" + (f":{second:02d}" if rng.random() < 0.5 else "")


def phone(rng: np.random.Generator, words: Words) -> str:
    """Digits in the shape of a telephone number that nobody has: the exchanges do not exist."""
    if words is CHINESE:
        return pick(rng, (f"0000-{digits(rng, 8)}", f"100-{digits(rng, 4)}-{digits(rng, 4)}"))
    return pick(
        rng, (f"055 555-{digits(rng, 4)}", f"+00 {digits(rng, 3)} {digits(rng, 4)}", f"01-{digits(rng, 7)}")
    )


def code(rng: np.random.Generator) -> str:
    """A reference of letters and digits, as on orders, parts and vouchers."""
    shape = int(rng.integers(5))
    if shape == 0:
        return f"{letters(rng, 2)}-{digits(rng, 6)}"
    if shape == 1:
        return f"{letters(rng, 3)}{digits(rng, 4)}/{digits(rng, 2)}"
    if shape == 2:
        return digits(rng, int(rng.integers(8, 14)))
    if shape == 3:
        return f"{letters(rng, 1)}{digits(rng, 3)}-{letters(rng, 2)}-{digits(rng, 3)}"
    return f"#{digits(rng, 4)}-{digits(rng, 4)}"


def shop(rng: np.random.Generator, words: Words) -> str:
    """The name over a shop's door."""
    return pick(rng, words.shops) + ("" if words is CHINESE else " ") + pick(rng, words.trades)


def address(rng: np.random.Generator, words: Words) -> str:
    """A street with a house number, in a town that does not exist."""
    street, town, number = pick(rng, words.streets), pick(rng, words.towns), int(rng.integers(1, 400))
    if words is CHINESE:
        return f"{town}{street}{number}号"
    return pick(rng, (f"{number} {street}, {town}", f"{number} {street}", f"{town} {digits(rng, 5)}"))


def field(rng: np.random.Generator, words: Words) -> tuple[str, str]:
    """A field of a form: its printed name, and something that could be filled in."""
    name, kind = pick(rng, words.fields).split(" = ")
    makers: dict[str, Callable[[], str]] = {
        "code": lambda: code(rng),
        "digits": lambda: digits(rng, int(rng.integers(9, 17))),
        "date": lambda: date(rng, words),
        "answer": lambda: pick(rng, words.answers),
        "phone": lambda: phone(rng, words),
        "place": lambda: address(rng, words),
        "money": lambda: price(rng, words, 20000.0),
        "weight": lambda: f"{amount(rng, 900.0)} kg",
        "firm": lambda: pick(rng, words.firms),
    }
    return name, makers[kind]()
