from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any, Optional

import pytest
from typing_extensions import get_args

from toolkit.evaluation import agreement
from toolkit.evaluation.agreement import Difference, Kind, Rule, compare

TEXT, TOP1, BOXES = Rule("text", "lines.text"), Rule("top1", "classes.name"), Rule("boxes", "lines.box")
NUMBERS = Rule("numbers", "outputs")


def lines(*texts: str) -> dict[str, Any]:
    return {"lines": [{"text": text, "score": 0.9} for text in texts], "width": 640}


def classes(*names: Any) -> dict[str, Any]:
    return {"classes": [{"name": name} for name in names]}


def quad(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def boxes(*found: Any) -> dict[str, Any]:
    return {"lines": [{"box": box} for box in found]}


SOME = {
    TEXT: lines("four"),
    TOP1: classes("cat"),
    BOXES: boxes(quad(0, 0, 10, 10)),
    NUMBERS: {"outputs": [1.0]},
}
NONE = {TEXT: lines(), TOP1: classes(), BOXES: boxes(), NUMBERS: {"outputs": []}}
RULES = pytest.mark.parametrize("rule", [TEXT, TOP1, BOXES, NUMBERS], ids=lambda rule: rule.kind)


def test_differences_add_up_and_their_rate_is_that_of_the_sums() -> None:
    found = Difference(1, 10) + Difference(5, 30)
    assert found == Difference(6, 40)
    assert found.rate == 0.15
    assert Difference(0, 0).rate == 0


@pytest.mark.parametrize(
    ("first", "second", "differing", "of"),
    [
        (lines("abc", "de"), lines("abc", "de"), 0, 6),  # with the end of the first line
        (lines("abc", "de"), lines("abd", "de"), 1, 6),
        (lines("abc", "de"), lines("abc"), 3, 6),  # a line is missing, and the end of the one before
        (lines("abc", "de"), lines("abcde"), 1, 6),  # the same as one line
        (lines("ab", "cd"), lines("cd", "ab"), 4, 5),  # in another order
        (lines("你好"), lines("您好"), 1, 2),
    ],
)
def test_text_differs_by_the_edits_in_characters_of_the_longer_one(
    first: Any, second: Any, differing: int, of: int
) -> None:
    assert compare(TEXT, first, second) == compare(TEXT, second, first) == Difference(differing, of)


def test_text_may_be_a_member_or_a_list_of_lines() -> None:
    rule = Rule("text", "text")
    assert compare(rule, {"text": "abcd"}, {"text": "abce"}) == Difference(1, 4)
    assert compare(rule, {"text": ["ab", "cd"]}, {"text": ["ab", "c"]}) == Difference(1, 5)


@pytest.mark.parametrize(
    ("first", "second", "differing"),
    [
        (classes("cat", "dog"), classes("cat", "cow"), 0),
        (classes("cat", "dog"), classes("dog", "cat"), 1),
        (classes(3), classes(3.0), 0),
        (classes(3), classes("3"), 1),
    ],
)
def test_top1_is_whether_the_first_item_is_the_same(first: Any, second: Any, differing: int) -> None:
    assert compare(TOP1, first, second) == Difference(differing, 1)


def test_top1_may_be_a_member_alone() -> None:
    assert compare(Rule("top1", "label"), {"label": "cat"}, {"label": "dog"}) == Difference(1, 1)
    assert compare(Rule("top1", "labels"), {"labels": [7, 8]}, {"labels": [7, 9]}) == Difference(0, 1)


@pytest.mark.parametrize(
    ("second", "differing", "of"),
    [
        (boxes(quad(0, 0, 10, 10), quad(20, 0, 30, 10)), 0, 4),
        (boxes(quad(20, 0, 30, 10), quad(1, 0, 11, 10)), 0, 4),  # in any order, by overlap
        (boxes(quad(0, 0, 10, 10), quad(26, 0, 36, 10)), 2, 4),  # moved too far: no partner on both sides
        (boxes(quad(0, 0, 10, 10)), 1, 3),
        (boxes(quad(0, 0, 10, 10), quad(0, 0, 10, 10), quad(20, 0, 30, 10)), 1, 5),  # found twice
        (boxes([0, 0, 10, 10], [20, 0, 30, 10]), 0, 4),  # left, top, right, bottom
    ],
)
def test_boxes_differ_by_those_without_a_partner(second: Any, differing: int, of: int) -> None:
    first = boxes(quad(0, 0, 10, 10), quad(20, 0, 30, 10))
    assert compare(BOXES, first, second) == compare(BOXES, second, first) == Difference(differing, of)


@pytest.mark.parametrize(
    ("second", "differing", "of"),
    [
        ({"a": [[100.0, 1.0]], "b": 0.5}, 0, 3),
        ({"a": [[95.0, 6.0]], "b": 0.5}, 0, 3),  # a twentieth of 100
        ({"a": [[94.0, 6.1]], "b": 0.5}, 2, 3),
        ({"a": [[100.0, 1.0]], "b": 0.4}, 1, 3),  # small, and large for its array
        ({"a": [[100.0, 1.0, 1.0]], "b": 0.5}, 4, 4),
        ({"a": [[100.0]], "b": [1.0, 0.5]}, 3, 3),  # as many, in other arrays
        ({"a": [[100.0, 1.0]]}, 3, 3),
        ({"a": [[9.0, math.nan]], "b": 0.5}, 3, 3),
        ({"a": [[math.inf, 9.0]], "b": 0.5}, 3, 3),
    ],
)
def test_numbers_differ_where_they_are_apart_by_a_part_of_their_arrays_largest(
    second: Any, differing: int, of: int
) -> None:
    one, other = {"outputs": {"a": [[100.0, 1.0]], "b": 0.5}}, {"outputs": second}
    assert compare(NUMBERS, one, other) == compare(NUMBERS, other, one) == Difference(differing, of)


def test_boxes_without_an_area_agree_with_themselves() -> None:
    flat = boxes(quad(0, 5, 10, 5))
    assert compare(BOXES, flat, flat) == Difference(0, 2)


def objects(*found: tuple[Any, list[float]]) -> dict[str, Any]:
    return {"objects": [{"id": name, "box": box} for name, box in found]}


OBJECTS = Rule("boxes", "objects.box", "objects.id")
HERE, THERE = [0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0]


@pytest.mark.parametrize(
    ("second", "differing", "of"),
    [
        (objects((1, THERE), (0, HERE)), 0, 4),
        (objects((0, HERE), (0, THERE)), 2, 4),  # one of another class
        (objects((1, HERE), (0, THERE)), 4, 4),
        (objects((0, HERE)), 1, 3),
        (objects(), 2, 2),
    ],
)
def test_boxes_with_classes_have_partners_of_their_class_only(second: Any, differing: int, of: int) -> None:
    first = objects((0, HERE), (1, THERE))
    assert compare(OBJECTS, first, second) == compare(OBJECTS, second, first) == Difference(differing, of)


def test_an_overlapping_box_of_another_class_takes_no_partner_away() -> None:
    near = [1.0, 0.0, 11.0, 10.0]
    first, second = objects((0, HERE), (1, HERE)), objects((1, HERE), (0, near))
    assert compare(OBJECTS, first, second) == Difference(0, 4)


@pytest.mark.parametrize(
    "answer", [{"objects": [{"box": HERE}]}, objects((None, HERE)), objects((["cat"], HERE)), boxes(HERE)]
)
def test_a_box_without_a_class_where_there_should_be_one_differs_wholly(answer: Any) -> None:
    found = compare(OBJECTS, objects((0, HERE)), answer)
    assert found.differing == found.of > 0


@RULES
def test_empty_answers_agree_and_are_counted(rule: Rule) -> None:
    assert compare(rule, NONE[rule], NONE[rule]) == Difference(0, 1)


@RULES
def test_an_empty_answer_differs_wholly_from_one_that_is_not(rule: Rule) -> None:
    found = compare(rule, SOME[rule], NONE[rule])
    assert found == compare(rule, NONE[rule], SOME[rule])
    assert found.differing == found.of > 0


MALFORMED: list[tuple[Kind, Any]] = [
    ("text", None),
    ("text", {}),
    ("text", "lines"),
    ("text", {"lines": {"text": "four"}}),
    ("text", {"lines": ["four"]}),
    ("text", {"lines": [{"text": None}]}),
    ("top1", {"classes": [{"name": None}]}),
    ("top1", {"classes": [{"name": ["cat"]}]}),
    ("boxes", {"lines": [{"box": None}]}),
    ("boxes", {"lines": [{"box": [0, 0, 10]}]}),
    ("boxes", {"lines": [{"box": [[0, 0], [10, None]]}]}),
    ("boxes", {"lines": [{"box": quad(0, 0, 10, float("nan"))}]}),
    ("boxes", {"lines": [{"box": [0, 0, 10, 10**400]}]}),
    ("boxes", {"lines": [{"box": quad(0, 0, 9, 9)}, {"box": [0, 0, 9, 9]}]}),
]


@pytest.mark.parametrize(("kind", "answer"), MALFORMED)
def test_what_is_missing_or_malformed_differs_wholly(kind: Kind, answer: Optional[Any]) -> None:
    rule = next(item for item in SOME if item.kind == kind)
    for other in (SOME[rule], NONE[rule], answer):
        found, turned = compare(rule, other, answer), compare(rule, answer, other)
        assert found == turned
        assert found.differing == found.of > 0
    assert compare(TEXT, SOME[TEXT], None) == Difference(4, 4)


def test_what_every_kind_counts_has_a_name() -> None:
    assert set(agreement.UNITS) == set(get_args(Kind))


def test_the_bound_is_above_the_rate_and_nearer_with_more_requests() -> None:
    few, many = ([Difference(1, 100), Difference(0, 100)] * number for number in (10, 40))
    assert 0.005 < agreement.bound(many) < agreement.bound(few) < 0.02
    assert agreement.bound(many, 0.99) > agreement.bound(many)


def test_answers_that_never_differed_may_still_do() -> None:
    """At least the rule of three."""
    assert agreement.bound([Difference(0, 1)] * 60) > 3 / 60
    assert agreement.bound([Difference(0, 1)]) == 1


def test_the_least_rate_is_below_the_rate_and_nearer_with_more_requests() -> None:
    few, many = ([Difference(10, 100), Difference(20, 100)] * number for number in (10, 40))
    assert 0.1 < agreement.least(few) < agreement.least(many) < 0.15
    assert agreement.least(many, 0.99) < agreement.least(many)
    assert agreement.least([Difference(0, 100)] * 60) == 0


def test_a_bound_needs_a_request() -> None:
    for bound in (agreement.bound, agreement.least):
        with pytest.raises(ValueError, match="samples"):
            bound([])


def test_answers_can_be_compared_where_paddle_is_not_loaded() -> None:
    code = "import json, sys, toolkit.evaluation.agreement; print(json.dumps(sorted(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"paddle", "paddleslim", "cv2"} & set(json.loads(told.stdout))
