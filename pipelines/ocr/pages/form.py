"""Forms and invoices: a letterhead, labelled fields in two columns, a ruled table, small print, signatures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import phrases
from .chinese import CHINESE
from .sheet import Cell, Sheet
from .style import Style, pale, paper, style
from .words import pick, several

GREY = (120.0, 115.0, 110.0)
LIGHT = (238.0, 240.0, 240.0)


def form(rng: np.random.Generator) -> Sheet:
    """A form of about 890 by 1080 pixels with about 35 lines."""
    width, height = int(rng.integers(820, 961)), int(rng.integers(960, 1201))
    look = style(rng, "form", float(rng.uniform(17, 25)))
    sheet = Sheet(
        paper(rng, height, width, pale(rng), float(rng.uniform(0.2, 1.4))), rng, look.body.size, look.strength
    )
    y = letterhead(sheet, look, height * 0.035)
    y = fields(sheet, look, y + 22, int(rng.integers(2, 6)))
    y = table(sheet, look, y + 18, int(rng.integers(2, 6)))
    y = small_print(sheet, look, y + 26, int(rng.integers(1, 4)))
    signatures(sheet, look, y + 30)
    sheet.trim(float(rng.uniform(25, 200)))
    return sheet


def letterhead(sheet: Sheet, look: Style, y: float) -> float:
    """Who sends it and what it is."""
    rng, words, edge = sheet.rng, look.words, sheet.width * 0.06
    middle = rng.random() < 0.4
    x, align = (sheet.width / 2, "middle") if middle else (edge, "left")
    y = sheet.row(y, [look.cell(rng, pick(rng, words.firms), x, align, 0.85, head=True)]) + 12
    y = (
        sheet.row(y, [look.cell(rng, phrases.address(rng, words), x, align, float(rng.uniform(0.65, 0.9)))])
        + 20
    )
    title = look.cell(rng, pick(rng, words.titles), x, align, 1.15, head=True)
    cells = [title] if middle else [title, look.cell(rng, phrases.code(rng), sheet.width - edge, "right")]
    y = sheet.row(y, cells) + 14
    sheet.rule((edge, y), (sheet.width - edge, y), look.ink, int(rng.integers(1, 4)))
    return y


def fields(sheet: Sheet, look: Style, y: float, rows: int) -> float:
    """Pairs of a printed label and what was filled in; a pair is one line of text, or two far apart."""
    rng, words = sheet.rng, look.words
    colon = "：" if words is CHINESE else ": "
    apart = rng.random() < 0.5
    for _ in range(rows):
        cells: list[Cell] = []
        for left in (0.06, 0.54):
            name, value = phrases.field(rng, words)
            if apart:
                cells.append(look.cell(rng, name, sheet.width * left, size=0.8))
                cells.append(look.cell(rng, value, sheet.width * (left + 0.22)))
            else:
                cells.append(look.cell(rng, name + colon + value, sheet.width * left))
        y = sheet.row(y, cells) + look.body.size * float(rng.uniform(0.6, 0.95))
    return y


def table(sheet: Sheet, look: Style, y: float, rows: int) -> float:
    """A table with ruled rows; its head is often light text on a dark bar."""
    rng, words = sheet.rng, look.words
    edge, pitch = sheet.width * 0.05, look.body.size * float(rng.uniform(1.9, 2.5))
    columns: tuple[float, ...] = (0.07, 0.5, 0.72, 0.93)
    aligns = ("left", "right", "right", "right")
    dark = rng.random() < 0.6
    if dark:
        sheet.fill((int(edge), int(y), int(sheet.width - edge), int(y + pitch)), look.ink, look.strength)
    names = several(rng, words.columns, len(columns))
    heads = [look.cell(rng, name, sheet.width * x, a) for name, x, a in zip(names, columns, aligns)]
    if dark:
        heads = [replace(head, colour=LIGHT, strength=0.55 + 0.45 * head.strength) for head in heads]
    sheet.row(y + pitch * 0.28, heads)
    for _ in range(rows):
        y += pitch
        sheet.rule((edge, y), (sheet.width - edge, y), GREY)
        texts = [pick(rng, words.services), str(int(rng.integers(1, 900)))]
        texts += [phrases.amount(rng, 900.0), phrases.amount(rng, 90000.0)]
        cells = [look.cell(rng, t, sheet.width * x, a, 0.95) for t, x, a in zip(texts, columns, aligns)]
        sheet.row(y + pitch * 0.28, cells)
    sheet.rule((edge, y + pitch), (sheet.width - edge, y + pitch), GREY)
    label, total = pick(rng, words.totals), phrases.price(rng, words, 200000.0)
    cells = [look.cell(rng, label, sheet.width * 0.62, "right", 1.1)]
    cells.append(look.cell(rng, total, sheet.width * 0.93, "right", 1.1))
    return sheet.row(y + pitch * 1.35, cells)


def small_print(sheet: Sheet, look: Style, y: float, rows: int) -> float:
    """Conditions in the smallest type of the page."""
    rng, edge = sheet.rng, sheet.width * 0.06
    size = float(rng.uniform(0.55, 0.9))
    for text in several(rng, look.words.notices, rows):
        y = sheet.row(y, [look.cell(rng, text, edge, size=size)]) + 10 + 4 * size
    return y


def signatures(sheet: Sheet, look: Style, y: float) -> None:
    """Lines to sign on, with what belongs there written underneath."""
    rng = sheet.rng
    for left in (0.08, 0.56):
        sheet.rule((sheet.width * left, y + 20), (sheet.width * (left + 0.3), y + 20), GREY)
    names = ("日期", "签字盖章") if look.words is CHINESE else ("Date", "Authorised signature")
    cells = [look.cell(rng, text, sheet.width * left, size=0.8) for text, left in zip(names, (0.08, 0.56))]
    sheet.row(y + 28, cells)
