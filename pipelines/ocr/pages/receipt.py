"""Receipts: a narrow strip with a shop's head, goods and prices in two columns, totals and a farewell."""

from __future__ import annotations

import numpy as np

from . import phrases
from .chinese import CHINESE
from .sheet import Sheet
from .style import Style, pale, paper, style
from .words import pick, several


def receipt(rng: np.random.Generator) -> Sheet:
    """A receipt of 480 to 820 by 700 to 1240 pixels with about 28 lines."""
    width, height = int(rng.integers(480, 821)), int(rng.integers(700, 1241))
    look = style(rng, "receipt", float(rng.uniform(0.026, 0.042) * width))
    sheet = Sheet(
        paper(rng, height, width, pale(rng), float(rng.uniform(0.3, 2.0))), rng, look.body.size, look.strength
    )
    leading = look.body.size * float(rng.uniform(0.45, 1.0))
    y = head(sheet, look, height * 0.03, leading)
    y = goods(sheet, look, y + leading, leading)
    y = totals(sheet, look, y + leading, leading)
    farewell(sheet, look, y + leading * 1.5, leading)
    sheet.trim(float(rng.uniform(15, 130)))
    return sheet


def head(sheet: Sheet, look: Style, y: float, leading: float) -> float:
    """The shop's name, where it is, and when this was bought."""
    rng, words, middle = sheet.rng, look.words, sheet.width / 2
    y = sheet.row(y, [look.cell(rng, phrases.shop(rng, words), middle, "middle", head=True)]) + leading
    for text in (phrases.address(rng, words), f"TEL: {phrases.phone(rng, words)}"):
        y = sheet.row(y, [look.cell(rng, text, middle, "middle", float(rng.uniform(0.75, 1.0)))]) + leading
    edge = sheet.width * 0.06
    label = "单号：" if words is CHINESE else pick(rng, ("No.", "Receipt ", "Bill: "))
    y = sheet.row(y, [look.cell(rng, label + phrases.code(rng), edge)]) + leading
    cells = [look.cell(rng, phrases.date(rng, words), edge)]
    cells.append(look.cell(rng, phrases.clock(rng), sheet.width - edge, "right"))
    y = sheet.row(y, cells) + leading
    separator(sheet, y)
    return y


def goods(sheet: Sheet, look: Style, y: float, leading: float) -> float:
    """What was bought: a name and a price to a row, sometimes with a row of code and count below."""
    rng, words, edge = sheet.rng, look.words, sheet.width * 0.06
    detailed = rng.random() < 0.4
    count = int(rng.integers(2, 6)) if detailed else int(rng.integers(3, 9))
    for name in several(rng, words.goods, count):
        cells = [look.cell(rng, name, edge)]
        cells.append(look.cell(rng, phrases.amount(rng, 200.0), sheet.width - edge, "right"))
        if not detailed and sheet.width > 560 and rng.random() < 0.7:
            cells.append(look.cell(rng, str(int(rng.integers(1, 13))), sheet.width * 0.62, "right"))
        y = sheet.row(y, cells) + leading
        if detailed:
            text = f"{phrases.digits(rng, 8)} {int(rng.integers(1, 20))} @ {phrases.amount(rng, 99.0)}"
            y = (
                sheet.row(y, [look.cell(rng, text, edge * 1.8, size=float(rng.uniform(0.75, 0.95)))])
                + leading
            )
    separator(sheet, y)
    return y


def totals(sheet: Sheet, look: Style, y: float, leading: float) -> float:
    """The sums, one of them larger."""
    rng, edge = sheet.rng, sheet.width * 0.06
    for number, name in enumerate(several(rng, look.words.totals, int(rng.integers(2, 5)))):
        size = float(rng.uniform(1.2, 1.6)) if number == 1 else 1.0
        cells = [look.cell(rng, name, edge, size=size)]
        total = phrases.price(rng, look.words, 3000.0)
        cells.append(look.cell(rng, total, sheet.width - edge, "right", size))
        y = sheet.row(y, cells) + leading
    return y


def farewell(sheet: Sheet, look: Style, y: float, leading: float) -> None:
    """Thanks, conditions, and a code under bars."""
    rng, middle = sheet.rng, sheet.width / 2
    for text in several(rng, look.words.thanks, int(rng.integers(1, 4))):
        y = sheet.row(y, [look.cell(rng, text, middle, "middle", float(rng.uniform(0.7, 1.0)))]) + leading
    if rng.random() < 0.5 and y + 70 < sheet.height:
        bars(sheet, y, 34)
        sheet.row(y + 34 + leading, [look.cell(rng, phrases.digits(rng, 13), middle, "middle", 0.9)])


def bars(sheet: Sheet, y: float, tall: int) -> None:
    """A bar code that says nothing."""
    x, end = int(sheet.width * 0.28), int(sheet.width * 0.72)
    while x < end:
        thick = int(sheet.rng.integers(1, 5))
        sheet.fill((x, int(y), x + thick, int(y) + tall), (35.0, 35.0, 35.0), 0.9)
        x += thick + int(sheet.rng.integers(1, 5))


def separator(sheet: Sheet, y: float) -> None:
    """A thin line across the strip, between the rows of text."""
    if sheet.rng.random() < 0.7:
        edge = sheet.width * 0.05
        sheet.rule((edge, y), (sheet.width - edge, y), (90.0, 90.0, 90.0))
