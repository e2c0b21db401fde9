"""What all lines of one page have in common: language, faces, colours, how much the print suffers."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .chinese import CHINESE
from .english import ENGLISH
from .ink import Pen
from .page import Field
from .sheet import Cell, Colour
from .words import Words, pick

MONO = ("dejavu-mono", "dejavu-mono-bold", "noto-mono", "source-han-mono")
PLAIN = (
    "roboto",
    "lato",
    "source-sans",
    "dejavu",
    "roboto-italic",
    "caladea",
    "dejavu-serif",
    "source-sans-semibold",
)
FANCY = (
    "amatic",
    "roboto-black",
    "roboto-thin",
    "lato-black",
    "lato-light",
    "caladea-bold",
    "caladea-italic",
    "dejavu-serif-italic",
    "dejavu-bold",
    "roboto-light",
    "source-sans-light",
)
HAN = ("noto-sans", "noto-serif", "noto-mono", "source-han-mono", "source-han-serif")


@dataclass(frozen=True)
class Style:
    """The look of a page. Strength is the share of the ink's contrast that most lines keep, 0 to 1."""

    words: Words
    body: Pen
    heading: Pen
    ink: Colour
    strength: float
    uneven: float
    wear: float

    def cell(
        self,
        rng: np.random.Generator,
        text: str,
        x: float,
        align: str = "left",
        size: float = 1.0,
        head: bool = False,
    ) -> Cell:
        """A line in this style, with a contrast and a wear of its own."""
        pen = (self.heading if head else self.body).sized(size)
        strength = self.strength * (1.0 - self.uneven * float(rng.random()) ** 2)
        wear = self.wear * float(rng.random()) if rng.random() < 0.5 else 0.0
        return Cell(text, pen, x, align, self.ink, strength, wear)


def faces(rng: np.random.Generator, words: Words, kind: str) -> tuple[str, str]:
    """A face for the body and one for headings that can draw the language."""
    if words is CHINESE:
        body = pick(rng, HAN)
        return body, body if rng.random() < 0.6 else pick(rng, HAN)
    body = pick(rng, MONO if kind == "receipt" and rng.random() < 0.6 else PLAIN)
    return body, body if rng.random() < 0.3 else pick(rng, FANCY + PLAIN)


def style(rng: np.random.Generator, kind: str, size: float) -> Style:
    """Draws the look of a page whose body text is about `size` pixels per em."""
    words = CHINESE if rng.random() < 0.45 else ENGLISH
    body, heading = faces(rng, words, kind)
    squeeze = 1.0 if rng.random() < 0.55 else float(rng.uniform(0.72, 1.12))
    shade = float(rng.uniform(5, 70))
    tint = rng.uniform(-25, 45, 3) if rng.random() < 0.4 else np.zeros(3)
    ink = tuple(float(each) for each in np.clip(shade + tint, 0, 130))
    return Style(
        words=words,
        body=Pen(body, round(size), squeeze),
        heading=Pen(heading, round(size * rng.uniform(1.3, 2.1)), 1.0, bold=bool(rng.random() < 0.3)),
        ink=(ink[0], ink[1], ink[2]),
        strength=1.0 - 0.63 * float(rng.random()) ** 2,
        uneven=float(rng.uniform(0.0, 0.72)),
        wear=float(rng.random()) if rng.random() < 0.5 else 0.0,
    )


def paper(rng: np.random.Generator, height: int, width: int, base: Colour, grain: float) -> Field:
    """A blank sheet, float32 [height, width, 3]: a colour with clouds and fibres of `grain` grey levels."""
    clouds = rng.standard_normal((height // 90 + 2, width // 90 + 2), dtype=np.float32)
    fibres = rng.standard_normal((height // 2, width // 2), dtype=np.float32)
    texture = cv2.resize(clouds, (width, height), interpolation=cv2.INTER_CUBIC)
    texture += cv2.resize(fibres, (width, height), interpolation=cv2.INTER_LINEAR)
    sheet = np.asarray(base, dtype=np.float32) + np.float32(grain) * texture[:, :, np.newaxis]
    return np.ascontiguousarray(sheet, dtype=np.float32)


def pale(rng: np.random.Generator) -> Colour:
    """A colour paper has: nearly white, sometimes pink, yellow or blue as the copies of a form are."""
    base = float(rng.uniform(205, 252))
    tint = rng.uniform(-28, 0, 3) if rng.random() < 0.35 else rng.uniform(-5, 0, 3)
    return (base + float(tint[0]), base + float(tint[1]), base + float(tint[2]))
