"""How much two answers to one request differ: whole answers, as clients get them, of two precisions or two releases.

No labels are needed, so it works on live traffic too. What the gate measures of it on the validation samples is what
live traffic can be compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
from rapidfuzz.distance import Levenshtein
from typing_extensions import Literal

from toolkit.evaluation import metrics, paired
from toolkit.evaluation.metrics import Boxes, Counts, Floats
from toolkit.evaluation.ratios import METRICS

Kind = Literal["text", "top1", "boxes", "numbers"]

# Of the largest number of an array: two numbers that are further apart differ.
TOLERANCE = 0.05

# What is counted, in words; boxes are those of both answers.
UNITS: Mapping[str, str] = {
    "text": "characters",
    "top1": "answers",
    "boxes": "boxes",
    "numbers": "numbers",
}

# The class of a box, None where it has none, and its corners.
_Box = tuple[Any, Sequence[Sequence[float]]]

_MALFORMED = (TypeError, LookupError, ValueError, OverflowError)


@dataclass(frozen=True)
class Rule:
    """What of two answers is compared, and how.

    Attributes:
        kind: `text`: edit distance, in characters of the longer text; lines are joined in the answer's order, so a line
            that is missing counts with its characters. `top1`: whether the first item (a class's name or number) is the
            same, 1 a request. `boxes`: boxes without a partner, of those of both. Partners overlap by an intersection
            over union of 0.5 or more, PASCAL VOC's criterion (Everingham et al., IJCV 88, 2010); each box has one at
            most, those that overlap most are paired first. What does not differ is then the F-measure of one answer
            against the other, 2 pairs / boxes of both (van Rijsbergen, Information Retrieval, 1979).
            `numbers`: those of an array, or of each array of an object, that are apart by more than a twentieth of the
            array's largest, in magnitude; all of them where one is not finite.
        path: `member` of the answer, or `list.member`: that member of each item of the list.
        classes: likewise, of `boxes` alone: where the class of each box is; partners have the same. None: any has.
    """

    kind: Kind
    path: str
    classes: Optional[str] = None


@dataclass(frozen=True)
class Difference:
    """How much of one or more answers differs. Sums, so that a rate over requests is a ratio of sums.

    Attributes:
        differing: in the unit of the rule: characters, requests or boxes.
        of: all of them; at least 1 a request, so that requests whose answers are empty count as having agreed.
    """

    differing: float
    of: float

    def __add__(self, other: Difference) -> Difference:
        return Difference(self.differing + other.differing, self.of + other.of)

    @property
    def rate(self) -> float:
        """Share that differs, 0..1; 0 where nothing was compared."""
        return self.differing / self.of if self.of else 0.0


def compare(rule: Rule, first: Any, second: Any) -> Difference:
    """How much two answers differ; the order of the two does not matter.

    What there is nothing to compare of (no answer at all, or one without what the rule's path names) differs wholly,
    also from another such: nothing shows that they agree. Answers that are empty, as of a page without text, agree.

    Args:
        first: parsed JSON, None: there is no answer.
        second: likewise.
    """
    kind = _KINDS[rule.kind]
    found = [_read(rule, answer) for answer in (first, second)]
    of = max(1, kind.of(*(0 if item is None else len(item) for item in found)))
    if any(item is None for item in found):
        return Difference(of, of)
    return Difference(kind.differing(*found), of)


def bound(differences: Sequence[Difference], confidence: float = 0.95) -> float:
    """The rate that the true one is not above with `confidence`, 0..1; one-sided, see `toolkit.evaluation.paired`.

    Args:
        differences: of each request.

    Raises:
        ValueError: there is no request, or the confidence is out of range.
    """
    return _drop(differences, confidence).upper / 100


def least(differences: Sequence[Difference], confidence: float = 0.95) -> float:
    """The rate that the true one is not below with `confidence`, 0..1; otherwise as `bound`."""
    return max(0.0, _drop(differences, confidence).lower / 100)


def _drop(differences: Sequence[Difference], confidence: float) -> paired.Difference:
    """Of what agrees: that of answers with themselves, less that with the others."""
    same = [_counts(0, item.of) for item in differences]
    found = [_counts(item.differing, item.of) for item in differences]
    return paired.compare(same, found, METRICS["recall"], confidence)


def _counts(differing: float, of: float) -> Counts:
    return Counts(round(of - differing), round(of), round(of))


@dataclass(frozen=True)
class _Kind:
    """One way to compare.

    Attributes:
        read: what is at the path, as something with a length.
        of: how much there is to differ, by the two lengths.
        differing: how much does.
    """

    read: Callable[[Any], Any]
    of: Callable[[int, int], int]
    differing: Callable[[Any, Any], int]


def _read(rule: Rule, answer: Any) -> Any:
    """None: it is malformed."""
    try:
        found = _KINDS[rule.kind].read(at(answer, rule.path))
        return found if rule.classes is None else _classified(found, at(answer, rule.classes))
    except _MALFORMED:
        return None


def at(answer: Any, path: str) -> Any:
    """What is at a rule's path in an answer; any of the usual exceptions where there is nothing."""
    name, _, member = path.partition(".")
    return [item[member] for item in _items(answer[name])] if member else answer[name]


def _items(value: Any) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        raise TypeError("no list")
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "\n".join(_items(value))


def _first(value: Any) -> Sequence[Any]:
    """The first item alone; none of an empty list."""
    return _named(value[:1] if isinstance(value, (list, tuple)) else [value])


def _named(values: Sequence[Any]) -> Sequence[Any]:
    if not all(isinstance(item, (str, int, float)) for item in values):
        raise TypeError("neither a name nor a number")
    return list(values)


def _numbers(value: Any) -> Floats:
    """(n, 2): each number of an array however deep, or of the arrays of an object, and which array it is of."""
    arrays = [value[name] for name in sorted(value)] if isinstance(value, dict) else [_items(value)]
    flat = [np.asarray(array, float).ravel() for array in arrays]
    if not all(np.isfinite(array).all() for array in flat):
        # Compared with NaN, nothing is far apart, and with infinity as the largest nothing is either.
        raise ValueError("not finite")
    found = [np.stack([array, np.full(array.shape, number)], axis=1) for number, array in enumerate(flat)]
    return np.concatenate([np.zeros((0, 2)), *found])


def _apart(first: Floats, second: Floats) -> int:
    if first.shape != second.shape or (first[:, 1] != second[:, 1]).any():
        return max(len(first), len(second))
    group = first[:, 1].astype(int)
    largest = np.zeros(group.max(initial=0) + 1)
    np.maximum.at(largest, group, np.maximum(np.abs(first[:, 0]), np.abs(second[:, 0])))
    return int((np.abs(first[:, 0] - second[:, 0]) > TOLERANCE * largest[group]).sum())


def _boxes(value: Any) -> list[_Box]:
    """Corners of each, without a class."""
    boxes = np.asarray(_items(value), dtype=float)
    if not len(boxes):
        return []
    if boxes.shape[1:] == (4,):
        boxes = boxes.reshape(-1, 2, 2)
    if boxes.ndim != 3 or boxes.shape[2] != 2 or not np.isfinite(boxes).all():
        raise ValueError("neither quadrilaterals nor rectangles")
    return [(None, corners) for corners in boxes.tolist()]


def _classified(boxes: Sequence[_Box], classes: Any) -> list[_Box]:
    names = _named(_items(classes))
    if len(names) != len(boxes):
        raise ValueError("not a class for each box")
    return [(name, corners) for name, (_, corners) in zip(names, boxes)]


def _unmatched(first: Sequence[_Box], second: Sequence[_Box]) -> int:
    names = dict.fromkeys(name for name, _ in (*first, *second))
    return sum(_unmatched_in(_of(name, first), _of(name, second)) for name in names)


def _of(name: Any, boxes: Sequence[_Box]) -> Boxes:
    """Corners of those of the class `name`."""
    return [corners for own, corners in boxes if own == name]


def _unmatched_in(first: Boxes, second: Boxes) -> int:
    """Of one class."""
    # A box without an area overlaps nothing, not even itself.
    if first == second:
        return 0
    return len(first) + len(second) - 2 * len(metrics.match(first, second))


_KINDS: Mapping[str, _Kind] = {
    "text": _Kind(_text, max, Levenshtein.distance),
    "top1": _Kind(_first, lambda *_: 1, lambda first, second: int(first != second)),
    "boxes": _Kind(_boxes, lambda first, second: first + second, _unmatched),
    "numbers": _Kind(_numbers, max, _apart),
}
