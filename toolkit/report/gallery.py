"""The samples that changed most: both answers drawn on the picture, and the texts that differ."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np

from toolkit.evaluation import metrics
from toolkit.report import outcomes, text

# Samples on the page, and lines told of each; the rest stands in report.json.
SAMPLES, LINES = 12, 40
_CHARACTERS = 400
# Pixels of the longer side, and bytes of a JPEG: 24 of them in base64 stay under 4 MB.
SIDE, JPEG_BYTES = 640, 100_000

# Blue, green, red, as OpenCV has them.
_SAME, _CHANGED, _DIGITS = (80, 160, 40), (40, 40, 220), (255, 255, 255)

Line = Mapping[str, Any]
Piece = tuple[str, bool]


@dataclass(frozen=True)
class Difference:
    """A line that the two answers do not share.

    Attributes:
        number: as in both pictures.
        native: pieces of native FP32's text, each with whether it is gone in the other; None: it has no such line.
        served: pieces of the other model's text, each with whether it is new; None: it has no such line.
    """

    number: int
    native: Optional[tuple[Piece, ...]]
    served: Optional[tuple[Piece, ...]]


@dataclass(frozen=True)
class Sample:
    """A sample of the gallery.

    Attributes:
        other: what the second answer's model is: `served`, or `rejected` where the gate failed.
        pictures: title and data URI of native FP32's and of the other answer; empty where there is no picture.
        answers: title and text of answers that are no lines.
        more: differences that are not listed.
    """

    name: str
    lost: str
    won: str
    other: str
    pictures: tuple[tuple[str, str], ...]
    differences: tuple[Difference, ...]
    answers: tuple[tuple[str, str], ...] = ()
    more: int = 0


def samples(evaluation: Mapping[str, Any]) -> tuple[Sample, ...]:
    """The first samples of the evaluation's gallery."""
    other = "rejected" if outcomes.outcome(evaluation) == outcomes.FAIL else "served"
    return tuple(_sample(item, other) for item in text.mappings(evaluation.get("gallery"))[:SAMPLES])


def _sample(item: Mapping[str, Any], other: str) -> Sample:
    answers = [item.get(key) for key in ("native", "served")]
    native, served = map(_lines, answers)
    found = differences(native, served)
    titles = ("native FP32", other)
    told = not (native or served)
    return Sample(
        str(item.get("sample")),
        text.number(item.get("lost"), 0),
        text.number(item.get("won"), 0),
        other,
        tuple(zip(titles, _pictures(item.get("image"), native, served))),
        tuple(_told(number, *pair) for number, pair in enumerate(found[:LINES], 1)),
        tuple((title, text.plain(answer)[:500]) for title, answer in zip(titles, answers)) if told else (),
        max(0, len(found) - LINES),
    )


def _lines(answer: Any) -> list[Line]:
    """The lines of an answer; of one that has objects, these, as lines that say what they are."""
    lines = text.mappings(text.look_up(answer, "lines"))
    return lines or [_as_line(item) for item in text.mappings(text.look_up(answer, "objects"))]


def _as_line(found: Mapping[str, Any]) -> Line:
    box = found.get("box")
    sides = [text.finite(side) for side in box] if isinstance(box, Sequence) else []
    if len(sides) != 4 or None in sides:
        return {"text": found.get("name")}
    left, top, right, bottom = sides
    return {"text": found.get("name"), "box": [[left, top], [right, top], [right, bottom], [left, bottom]]}


def differences(
    native: Sequence[Line], served: Sequence[Line]
) -> list[tuple[Optional[Line], Optional[Line]]]:
    """Pairs of lines that do not say the same, and lines that only one answer has.

    Lines lie on each other by their boxes, as the metrics have it (or follow each other, where there are none), and are
    compared without spaces and case.
    """
    return [pair for pair in _pairs(native, served) if not _same(*pair)]


def _same(native: Optional[Line], served: Optional[Line]) -> bool:
    if native is None or served is None:
        return False
    return metrics.normalise(_text(native)) == metrics.normalise(_text(served))


def _pairs(native: Sequence[Line], served: Sequence[Line]) -> list[tuple[Optional[Line], Optional[Line]]]:
    if not all(item.get("box") for item in (*native, *served)):
        return list(zip_longest(native, served))
    found = dict(metrics.match([item["box"] for item in native], [item["box"] for item in served]))
    both: list[tuple[Optional[Line], Optional[Line]]] = [
        (item, served[found[row]] if row in found else None) for row, item in enumerate(native)
    ]
    taken = set(found.values())
    return both + [(None, item) for column, item in enumerate(served) if column not in taken]


def _text(line: Line) -> str:
    return str(line.get("text") or "")


def _told(number: int, native: Optional[Line], served: Optional[Line]) -> Difference:
    if native is None or served is None:
        alone = ((_text(native or served or {}), True),)
        return Difference(
            number, alone if native is not None else None, alone if served is not None else None
        )
    # Longer texts would take long to align.
    before, after = marked(_text(native)[:_CHARACTERS], _text(served)[:_CHARACTERS])
    return Difference(number, before, after)


def marked(before: str, after: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Both texts in pieces, each with whether it is changed, by an alignment of the fewest edits (Levenshtein)."""
    table = _edits(before, after)
    row, column = len(before), len(after)
    first, second = [False] * row, [False] * column
    while row or column:
        equal = row and column and before[row - 1] == after[column - 1]
        if row and column and table[row][column] == table[row - 1][column - 1] + (not equal):
            row, column = row - 1, column - 1
            first[row] = second[column] = not equal
        elif row and table[row][column] == table[row - 1][column] + 1:
            row -= 1
            first[row] = True
        else:
            column -= 1
            second[column] = True
    return _pieces(before, first), _pieces(after, second)


def _edits(before: str, after: str) -> list[list[int]]:
    """The fewest edits that make the first n characters of one text the first m of the other, by n and m."""
    table = [list(range(len(after) + 1))]
    for row, left in enumerate(before, 1):
        above, current = table[-1], [row]
        for column, right in enumerate(after, 1):
            current.append(min(above[column] + 1, current[-1] + 1, above[column - 1] + (left != right)))
        table.append(current)
    return table


def _pieces(whole: str, changed: Sequence[bool]) -> tuple[Piece, ...]:
    """Runs of characters that are all changed, or all not."""
    runs = groupby(zip(whole, changed), key=lambda pair: pair[1])
    return tuple(("".join(character for character, _ in run), bool(flag)) for flag, run in runs)


def _pictures(path: Any, native: Sequence[Line], served: Sequence[Line]) -> list[str]:
    """Data URIs of the picture with each answer; empty where it cannot be read."""
    image = _read(path)
    if image is None:
        return []
    scale = min(1.0, SIDE / max(image.shape[:2]))
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    found = list(enumerate(differences(native, served), 1))
    drawn = []
    for side, lines in enumerate((native, served)):
        numbers = {id(pair[side]): number for number, pair in found if pair[side] is not None}
        drawn.append(_data_uri(_drawn(image, lines, numbers, scale)))
    return drawn


def _read(path: Any) -> Any:
    if not path or not Path(str(path)).is_file():
        return None
    # Not imread, which cannot open every path that Python can.
    data = np.fromfile(str(path), np.uint8)
    try:
        return cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:
        return None


def _drawn(image: Any, lines: Sequence[Line], numbers: Mapping[int, int], scale: float) -> Any:
    """The picture with the boxes of `lines`; those in `numbers` (by identity) in red and numbered, above the rest."""
    canvas = image.copy()
    boxed = [item for item in lines if item.get("box")]
    for item in sorted(boxed, key=lambda line: id(line) in numbers):
        corners = np.rint(np.asarray(item["box"], dtype=float) * scale).astype(np.int32)
        colour, width = (_CHANGED, 2) if id(item) in numbers else (_SAME, 1)
        cv2.polylines(canvas, [corners], True, colour, width, cv2.LINE_AA)
    for item in boxed:
        if id(item) in numbers:
            _label(canvas, numbers[id(item)], np.asarray(item["box"], dtype=float).min(axis=0) * scale)
    return canvas


def _label(canvas: Any, number: int, corner: Any) -> None:
    """The number in a box of its own at the upper left corner; digits need no font."""
    (width, height), _ = cv2.getTextSize(str(number), cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
    x = int(np.clip(corner[0] - width - 6, 0, max(0, canvas.shape[1] - width - 6)))
    y = int(np.clip(corner[1], 0, max(0, canvas.shape[0] - height - 6)))
    cv2.rectangle(canvas, (x, y), (x + width + 5, y + height + 5), _CHANGED, cv2.FILLED)
    cv2.putText(
        canvas, str(number), (x + 3, y + height + 2), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _DIGITS, 1, cv2.LINE_AA
    )


def _data_uri(image: Any) -> str:
    """A JPEG of at most `JPEG_BYTES`: by its quality, then by its size."""
    while True:
        for quality in (80, 65, 50):
            data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
            if len(data) <= JPEG_BYTES:
                return "data:image/jpeg;base64," + base64.b64encode(data).decode()
        image = cv2.resize(image, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
