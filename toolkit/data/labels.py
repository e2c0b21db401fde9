"""Label files, one sample a line, in the formats of PaddleOCR and PaddleClas, or without labels.

- `path<TAB>[{"transcription": ..., "points": ...}, ...]`: the lines of text on it;
- `path class`: the number of its class;
- `path` alone: nothing is known of it, so a model can only be compared with itself.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from toolkit.errors import DataError

# Both mean: there is text here that nobody could read, so judge nobody by it.
ILLEGIBLE = ("###", "*")

Quad = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Line:
    """One line of text on an image.

    Attributes:
        text: what a reader reads.
        quad: four corners in pixels, clockwise from the top left.
    """

    text: str
    quad: Quad

    @property
    def legible(self) -> bool:
        """Whether the line may be used to judge a model."""
        return self.text not in ILLEGIBLE


@dataclass(frozen=True)
class Sample:
    """A file (an image, a text, JSON) and what is known of it.

    Attributes:
        lines: those of the text on it; None: not known.
        label: the number of its class; None: not known.
    """

    name: str
    file: Path
    lines: Optional[tuple[Line, ...]] = None
    label: Optional[int] = None

    @property
    def image(self) -> Path:
        """The file, by the name that it has where requests are images."""
        return self.file


def text_of(sample: Sample) -> tuple[Line, ...]:
    """The lines of text on the image.

    Raises:
        DataError: they are not known.
    """
    if sample.lines is None:
        raise DataError(
            f"the image {sample.name} has no label with its lines of text",
            where=str(sample.file),
            remedy='write [{"transcription": ...}, ...] behind it and a tab; [] for a page without text',
        )
    return sample.lines


def read(path: Path) -> tuple[Sample, ...]:
    """The samples of the label file `path`; their paths are relative to its directory.

    Raises:
        DataError: the file or one of its samples is missing, or a line is malformed; names file and line.
    """
    try:
        # Editors on Windows put a byte order mark in front.
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(
            f"the label file {path.name} is missing",
            where=str(path),
            remedy="a folder needs none if it has images or JSON and no file *.txt; see `Your data` in README.md",
        ) from error
    except UnicodeDecodeError as error:
        raise DataError("the label file is not UTF-8", where=str(path)) from error
    # Not `splitlines`: that also splits at separators which a text may hold.
    rows = [(number, row) for number, row in enumerate(text.split("\n"), 1) if row.strip()]
    if not rows:
        raise DataError("the label file lists no sample", where=str(path))
    return tuple(_sample(path, number, row) for number, row in rows)


def write(path: Path, samples: list[tuple[str, list[Line]]]) -> None:
    """Write (image path, lines) pairs as a label file."""
    rows = (
        f"{name}\t{json.dumps([_encode(line) for line in lines], ensure_ascii=False)}"
        for name, lines in samples
    )
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def _encode(line: Line) -> Any:
    return {"transcription": line.text, "points": [list(point) for point in line.quad]}


def _sample(path: Path, number: int, row: str) -> Sample:
    where = f"{path}:{number}"
    name, tab, label = row.partition("\t")
    if not tab:
        return _classified(path.parent, row.strip(), where)
    file = path.parent / name
    if not file.is_file():
        raise DataError(f"the file {name} does not exist", where=where)
    try:
        entries = json.loads(label)
        lines = tuple(_line(entry) for entry in entries)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"the label is malformed: {error}",
            where=where,
            remedy='write [{"transcription": "text", "points": [[x,y],[x,y],[x,y],[x,y]]}, ...] after the tab',
        ) from error
    return Sample(name, file, lines)


def _classified(folder: Path, row: str, where: str) -> Sample:
    """Of a line without a tab; a space may be part of the file's name."""
    if (folder / row).is_file():
        return Sample(row, folder / row)
    name, _, label = row.rpartition(" ")
    if not (name and label.isdecimal()):
        raise DataError(
            "the line has no tab between file and label, nor a class, nor is it the name of a file",
            where=where,
            remedy="see `Your data` in README.md for the formats",
        )
    if not (folder / name).is_file():
        raise DataError(f"the file {name} does not exist", where=where)
    return Sample(name, folder / name, label=int(label))


def _line(entry: Any) -> Line:
    points = tuple((float(x), float(y)) for x, y in entry["points"])
    if len(points) < 4:
        raise ValueError(f"{len(points)} points, where a text line has at least 4")
    if not all(math.isfinite(number) for point in points for number in point):
        raise ValueError(f"the points {entry['points']} are not finite")
    text = entry["transcription"]
    if not isinstance(text, str):
        raise TypeError(f"transcription {text!r} is not a text")
    return Line(text, points)
