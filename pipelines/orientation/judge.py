"""How the direction classifier is judged: by lines whose direction is known, since somebody turned them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.data.labels import Sample
from toolkit.errors import DataError
from toolkit.evaluation.metrics import Counts, equal
from toolkit.images.request import decode
from toolkit.pipeline import Payload

from .ops import ANGLES


class Direction:
    """Share of lines whose direction is found; the class is 0 of upright lines, 1 of those on their head."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        del options

    def payload(self, sample: Sample) -> Payload:
        """The image of the line."""
        return decode({"image": sample.image.read_bytes()})

    def counts(self, sample: Sample, payload: Payload) -> Counts:
        """One line, right or wrong."""
        return equal([_label(sample)], [payload["direction"]])


class Answers(Direction):
    """The same of whole answers."""

    def counts(self, sample: Sample, answer: dict[str, Any]) -> Counts:
        """One answer, right or wrong."""
        return equal([ANGLES[_label(sample)]], [answer["angle"]])


def _label(sample: Sample) -> int:
    if sample.label not in range(len(ANGLES)):
        raise DataError(
            f"the image {sample.name} has no direction",
            where=str(sample.image),
            remedy="write `path 0` for a line that is upright, `path 1` for one that stands on its head",
        )
    return int(sample.label or 0)
