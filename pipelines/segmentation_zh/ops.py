"""Pre- and postprocessing of LAC's word segmentation: what serving and evaluation both run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.pipeline import Arrays, Payload, RequestTooLarge

_FOLDER = Path(__file__).parent

# The number of a character is its place; what is not there has the number behind the last.
_CHARACTERS = (_FOLDER / "characters.txt").read_text(encoding="utf-8").rstrip("\n")
_NUMBERS = {character: number for number, character in enumerate(_CHARACTERS)}
_UNKNOWN = len(_CHARACTERS)

# Full width to half width, upper to lower case, traditional to simplified: one character each.
_REPLACED = str.maketrans(*(_FOLDER / "replacements.txt").read_text(encoding="utf-8").split("\n")[:2])

# Tags that begin a word: of its first character, and of the only one of a short one.
_BEGINNING = (0, 3)

# Where a line that is too long is best cut.
_BREAKS = re.compile(r"[。！？；，、.!?;,\s]")


def decode(request: Mapping[str, Any], options: Mapping[str, Any]) -> Payload:
    """The payload of a request: its `text`.

    Args:
        options: `max_characters`.

    Raises:
        RequestTooLarge: it has more characters.
    """
    text, most = request["text"], int(options["max_characters"])
    if len(text) > most:
        raise RequestTooLarge(f"the text has {len(text):,} characters, at most {most:,} are taken")
    return {"text": text}


class Segmenter:
    """Cuts lines into words, one inference each.

    The model has one input `characters` and one output `tags`.

    Args:
        options: `longest`, characters in one inference.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._longest = int(options["longest"])

    def preprocess(self, payload: Payload) -> list[Arrays]:
        """A feed for each piece of the text: `characters` (n, 1) int64. Leaves the `pieces` in the payload."""
        payload["pieces"] = list(pieces(payload["text"], self._longest))
        return [{"characters": numbers(piece)} for piece in payload["pieces"]]

    def postprocess(self, payload: Payload, outputs: list[Arrays]) -> Payload:
        """Adds `words`, in the order of the text, without white space."""
        tagged = zip(payload["pieces"], outputs)
        return {
            **payload,
            "words": [word for piece, output in tagged for word in words(piece, output["tags"].ravel())],
        }


def answer(payload: Payload) -> dict[str, Any]:
    """What the client gets."""
    return {"words": payload["words"]}


def pieces(text: str, longest: int) -> Iterator[str]:
    """The lines of `text` that have something in them; one of more than `longest` characters in several pieces."""
    for line in text.splitlines():
        rest = line.strip()
        while len(rest) > longest:
            breaks = [found.end() for found in _BREAKS.finditer(rest, 0, longest)]
            end = breaks[-1] if breaks else longest
            yield rest[:end]
            rest = rest[end:]
        if rest:
            yield rest


def numbers(text: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The numbers of the characters of `text`, (n, 1) int64."""
    known = [_NUMBERS.get(character, _UNKNOWN) for character in text.translate(_REPLACED)]
    return np.array(known, np.int64)[:, None]


def words(text: str, tags: Sequence[int]) -> Iterator[str]:
    """The words of `text` by the tag of each character, without white space; a tag that cannot be is inside one."""
    begins = [index for index, tag in enumerate(tags) if tag in _BEGINNING or not index]
    for begin, end in zip(begins, [*begins[1:], len(text)]):
        word = text[begin:end].strip()
        if word:
            yield word
