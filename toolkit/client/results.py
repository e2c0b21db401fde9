"""The answer of a pipeline, as the program that asked gets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolkit.client.errors import ServerFault

Box = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Line:
    """One line of text.

    Attributes:
        text: what is written there.
        score: confidence, 0 to 1.
        box: four corners (x, y) in pixels of the image as sent, clockwise from the top left of the text.
    """

    text: str
    score: float
    box: Box


@dataclass(frozen=True)
class Prediction:
    """What a pipeline answered; of an OCR pipeline also as lines of text.

    Attributes:
        raw: the JSON object that the service answered.
    """

    raw: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        """A member of the answer.

        Raises:
            KeyError: it has no such member.
        """
        return self.raw[name]

    @property
    def lines(self) -> tuple[Line, ...]:
        """All lines of the image, in the order of the service.

        Raises:
            ServerFault: the answer has no lines of text; the message names the place.
        """
        lines = self.raw.get("lines")
        if not isinstance(lines, list):
            raise _not_a_prediction("lines", "a list", lines)
        return tuple(_line(f"lines[{index}]", line) for index, line in enumerate(lines))

    @property
    def width(self) -> int:
        """Of the image in pixels, as the service decoded it; raises as `lines` does."""
        return _size("width", self.raw.get("width"))

    @property
    def height(self) -> int:
        """Of the image in pixels, as the service decoded it; raises as `lines` does."""
        return _size("height", self.raw.get("height"))


def parse_prediction(data: object) -> Prediction:
    """Read the JSON object that a pipeline answers.

    Raises:
        ServerFault: it is no object.
    """
    if not isinstance(data, Mapping):
        raise _not_a_prediction("the answer", "a JSON object", data)
    return Prediction(data)


def _line(where: str, data: object) -> Line:
    if not isinstance(data, Mapping):
        raise _not_a_prediction(where, "a JSON object", data)
    text = data.get("text")
    if not isinstance(text, str):
        raise _not_a_prediction(f"{where}.text", "a string", text)
    return Line(text, _number(f"{where}.score", data.get("score")), _box(f"{where}.box", data.get("box")))


def _box(where: str, data: object) -> Box:
    if not isinstance(data, list) or len(data) != 4:
        raise _not_a_prediction(where, "four corners", data)
    return tuple(_corner(f"{where}[{index}]", corner) for index, corner in enumerate(data))


def _corner(where: str, data: object) -> tuple[float, float]:
    if not isinstance(data, list) or len(data) != 2:
        raise _not_a_prediction(where, "[x, y]", data)
    return _number(where, data[0]), _number(where, data[1])


def _number(where: str, data: object) -> float:
    if isinstance(data, bool) or not isinstance(data, (int, float)):
        raise _not_a_prediction(where, "a number", data)
    return float(data)


def _size(where: str, data: object) -> int:
    if isinstance(data, bool) or not isinstance(data, int) or data < 1:
        raise _not_a_prediction(where, "a positive integer", data)
    return data


def _not_a_prediction(where: str, wanted: str, got: object) -> ServerFault:
    shown = repr(got)
    if len(shown) > 80:
        shown = f"{shown[:77]}..."
    return ServerFault(f"not a prediction: {where} must be {wanted}, is {shown}")
