"""Signs and notices: few large lines on a coloured board, or a sheet on a wall with a column of sentences."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable

import cv2
import numpy as np

from . import phrases
from .chinese import CHINESE
from .page import Field
from .sheet import Cell, Colour, Sheet
from .style import FANCY, HAN, PLAIN, Style, pale, paper, style
from .words import pick, several


def sign(rng: np.random.Generator) -> Sheet:
    """A board in landscape, about 960 x 720 pixels, with up to ten lines from small to very large."""
    width, height = int(rng.integers(860, 1001)), int(rng.integers(600, 761))
    look = style(rng, "sign", float(rng.uniform(26, 40)))
    board = colour(rng)
    contrast = float(rng.uniform(35, 80)) if rng.random() < 0.3 else float(rng.uniform(80, 200))
    grain = float(rng.uniform(0.5, 0.03 * contrast))
    sheet = Sheet(
        paper(rng, height, width, board, grain), rng, 0.7 * look.body.size, look.strength * contrast / 200
    )
    sheet.pixels += gradient(rng, height, width)
    letters = opposite(board, contrast, rng)
    y = height * float(rng.uniform(0.05, 0.12))
    while y < height * 0.9:
        size = float(np.exp(rng.uniform(np.log(0.5), np.log(2.4))))
        cell = replace(line(sheet, look, size), colour=letters)
        y = sheet.row(y, [cell]) + 14 + 0.4 * cell.pen.size
    return sheet


def notice(rng: np.random.Generator) -> Sheet:
    """A sheet in portrait, about 760 x 1000 pixels: a heading, numbered sentences, a date and a number to call."""
    width, height = int(rng.integers(700, 861)), int(rng.integers(880, 1081))
    look = style(rng, "notice", float(rng.uniform(17, 28)))
    sheet = Sheet(
        paper(rng, height, width, pale(rng), float(rng.uniform(0.3, 2.5))), rng, look.body.size, look.strength
    )
    edge, leading = width * 0.07, look.body.size * float(rng.uniform(0.45, 1.1))
    y = sheet.row(
        height * 0.05, [look.cell(rng, pick(rng, look.words.signs), width / 2, "middle", 1.2, head=True)]
    )
    y = y + leading * 1.6
    for number, sentence in enumerate(several(rng, look.words.notices, int(rng.integers(6, 15))), 1):
        if y > height * 0.82:
            break
        text = f"{number}.{sentence}" if look.words is CHINESE else f"{number}. {sentence}"
        y = sheet.row(y, [look.cell(rng, text, edge, size=fitting(text, look, width - 2 * edge))]) + leading
    sheet.row(y + leading, [look.cell(rng, phrases.date(rng, look.words), edge)])
    sheet.row(y + leading, [look.cell(rng, phrases.phone(rng, look.words), width - edge, "right")])
    sheet.trim(float(rng.uniform(25, 200)))
    return sheet


def line(sheet: Sheet, look: Style, size: float) -> Cell:
    """A line of a sign, in a face of its own, wide or narrow, at most as wide as the board."""
    rng, words = sheet.rng, look.words
    makers: tuple[Callable[[], str], ...] = (
        lambda: pick(rng, words.signs),
        lambda: pick(rng, words.signs),
        lambda: phrases.shop(rng, words),
        lambda: pick(rng, words.notices),
        lambda: phrases.price(rng, words, 99.0),
        lambda: phrases.phone(rng, words),
        lambda: f"{phrases.clock(rng)[:5]}-{phrases.clock(rng)[:5]}",
    )
    text = pick(rng, makers)()
    face = pick(rng, HAN if words is CHINESE else FANCY + PLAIN)
    spacing = 0.12 if rng.random() < 0.15 else 0.0
    look = replace(look, body=replace(look.body, face=face, spacing=spacing, bold=bool(rng.random() < 0.2)))
    size = min(size, fitting(text, look, sheet.width * 0.9, 9.0))
    return look.cell(rng, text, sheet.width / 2, "middle", size)


def fitting(text: str, look: Style, room: float, largest: float = 1.0) -> float:
    """The size, as a factor of the body's, at which a text takes at most that many pixels."""
    em = 1.0 if look.words is CHINESE else 0.62
    wide = len(text) * (em + look.body.spacing) * look.body.size * look.body.squeeze
    return min(largest, room / wide)


def colour(rng: np.random.Generator) -> Colour:
    """Any colour a board is painted in."""
    hue = np.array(
        [[[int(rng.integers(180)), int(rng.integers(0, 220)), int(rng.integers(50, 245))]]], dtype=np.uint8
    )
    blue, green, red = (float(each) for each in cv2.cvtColor(hue, cv2.COLOR_HSV2BGR)[0, 0])
    return (blue, green, red)


def opposite(board: Colour, contrast: float, rng: np.random.Generator) -> Colour:
    """The board's colour mixed with white or black until it is that many grey levels lighter or darker."""
    grey = 0.114 * board[0] + 0.587 * board[1] + 0.299 * board[2]
    end = 255.0 if grey < 128 else 0.0
    share = min(1.0, contrast / abs(end - grey))
    tint = rng.uniform(-12, 12, 3)
    mixed = [float(np.clip(side + share * (end - side) + t, 0, 255)) for side, t in zip(board, tint)]
    return (mixed[0], mixed[1], mixed[2])


def gradient(rng: np.random.Generator, height: int, width: int) -> Field:
    """float32 [height, width, 1]: a slow change of brightness across the board, up to 25 grey levels."""
    corners = rng.uniform(-25, 25, (2, 2)).astype(np.float32)
    return np.asarray(cv2.resize(corners, (width, height)), dtype=np.float32)[:, :, np.newaxis]
