from __future__ import annotations

import numpy as np
import pytest

from toolkit.evaluation.metrics import (
    Counts,
    Detections,
    boxes,
    characters,
    detections,
    distance,
    equal,
    lines,
    match,
    normalise,
    overlaps,
    rectangles,
    top,
    total,
)

Box = list[list[float]]


def box(left: float, top: float, right: float, bottom: float) -> Box:
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def test_ratios_of_counts() -> None:
    counts = Counts(matched=6, predicted=8, truth=12)
    assert (counts.precision, counts.recall) == (0.75, 0.5)
    assert counts.hmean == pytest.approx(0.6)


@pytest.mark.parametrize("counts", [Counts(0, 0, 0), Counts(0, 5, 0), Counts(0, 0, 5), Counts(0, 3, 4)])
def test_nothing_matched_is_zero_and_no_division_by_zero(counts: Counts) -> None:
    assert (counts.precision, counts.recall, counts.hmean) == (0, 0, 0)


def test_counts_add_up_before_the_ratio_is_taken() -> None:
    samples = [Counts(1, 1, 1), Counts(0, 9, 9)]
    assert total(samples) == Counts(1, 10, 10)
    assert total(samples).recall == 0.1
    assert total([]) == Counts(0, 0, 0)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("Total: RM 5.00", "total:rm5.00", True),
        ("\uff21\uff22\uff23\uff11\uff12\uff13", "abc123", True),  # full-width letters and digits
        ("\uff08\uff1a\uff09", "(:)", True),  # full-width brackets and colon
        ("北京\u3000大学", "北京大学", True),  # an ideographic space
        ("\tStra\u00dfe\n", "STRASSE", True),
        ("e\u0301", "\u00e9", True),  # a combining accent
        ("北京大学", "北京大學", False),
        ("5.00", "5,00", False),
        ("0", "O", False),
        ("", "\u3000 ", True),
    ],
)
def test_lines_are_compared_without_spaces_case_and_width(first: str, second: str, same: bool) -> None:
    assert (normalise(first) == normalise(second)) is same


def test_a_rectangle_surrounds_a_turned_box() -> None:
    diamond = [[5.0, 0.0], [10.0, 4.0], [5.0, 8.0], [0.0, 4.0]]
    np.testing.assert_array_equal(rectangles([diamond]), [[0, 0, 10, 8]])
    assert rectangles([]).shape == (0, 4)


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (box(0, 0, 10, 10), 1.0),
        (box(5, 0, 15, 10), 50 / 150),
        (box(5, 5, 15, 15), 25 / 175),
        (box(2, 2, 4, 7), 10 / 100),
        (box(10, 0, 20, 10), 0.0),
        (box(20, 20, 30, 30), 0.0),
        (box(5, 5, 5, 5), 0.0),
    ],
)
def test_overlap_is_intersection_over_union(second: Box, expected: float) -> None:
    first = box(0, 0, 10, 10)
    assert overlaps([first], [second]) == pytest.approx(expected)
    assert overlaps([second], [first]) == pytest.approx(expected)


def test_two_empty_boxes_do_not_overlap() -> None:
    assert overlaps([box(1, 1, 1, 1)], [box(1, 1, 1, 1)]) == 0


def test_an_overlap_of_exactly_the_threshold_matches() -> None:
    assert match([box(0, 0, 10, 10)], [box(0, 0, 10, 5)], 0.5) == [(0, 0)]
    assert match([box(0, 0, 10, 10)], [box(0, 0, 10, 4.9)], 0.5) == []


def test_the_best_overlap_is_matched_first_and_each_box_once() -> None:
    truth = [box(0, 0, 10, 10), box(0, 0, 10, 8)]
    # The first found fits the second truth best (1.0) and the first at 0.8; the other found fits neither well.
    assert match(truth, [box(0, 0, 10, 8), box(0, 0, 10, 6)], 0.5) == [(1, 0), (0, 1)]
    assert match(truth[:1], [box(0, 0, 10, 8), box(0, 0, 10, 9)], 0.5) == [(0, 1)]


def test_a_box_found_twice_counts_once() -> None:
    assert match([box(0, 0, 10, 10)], [box(0, 0, 10, 10)] * 3) == [(0, 0)]


@pytest.mark.parametrize(("truth", "found"), [([], []), ([box(0, 0, 1, 1)], []), ([], [box(0, 0, 1, 1)])])
def test_without_boxes_nothing_matches(truth: list[Box], found: list[Box]) -> None:
    assert match(truth, found) == []


def test_boxes_that_are_arrays_match_too() -> None:
    found = np.array([box(0, 0, 10, 10)], dtype=np.float32)
    assert match([box(1, 0, 10, 10)], found) == [(0, 0)]
    assert match([box(1, 0, 10, 10)], np.zeros((0, 4, 2), np.float32)) == []


def test_boxes_that_lie_on_a_labelled_one_are_right() -> None:
    truth, found = (
        [box(0, 0, 10, 10), box(20, 0, 30, 10)],
        [box(1, 0, 10, 10), box(0, 0, 10, 9), box(50, 0, 60, 10)],
    )
    assert boxes(truth, found) == Counts(1, 3, 2)


def test_lines_are_right_at_their_place_only() -> None:
    places = [box(0, 0, 10, 10), box(0, 20, 10, 30)]
    assert lines(places, ["one", "two"], places, ["one", "two"]) == Counts(2, 2, 2)
    assert lines(places, ["one", "two"], places, ["two", "one"]) == Counts(0, 2, 2)
    assert lines(places, ["one", "two"], places[:1], ["one"]) == Counts(1, 1, 2)
    assert lines([], [], places, ["one", "two"]) == Counts(0, 2, 0)


def test_agreement_with_a_reference_is_one_for_the_reference_itself() -> None:
    # Label-free: the reference's answers are the truth.
    answers, places = ["a", "b", "c"], [box(0, 0, 10, 10), box(0, 20, 10, 30), box(0, 40, 10, 50)]
    for own in (equal(answers, answers), boxes(places, places), lines(places, answers, places, answers)):
        assert own == Counts(3, 3, 3)
    assert equal(answers, ["a", "x", "c"]) == Counts(2, 3, 3)


def test_answers_and_truths_are_as_many() -> None:
    with pytest.raises(ValueError, match="1 answers for 2 truths"):
        equal(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="2 answers for 1 truths"):
        characters(["a"], ["a", "b"])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("kitten", "sitting", 3),
        ("flaw", "lawn", 2),
        ("北京大学", "北京大學", 1),
        ("", "abc", 3),
        ("abc", "", 3),
        ("same", "same", 0),
    ],
)
def test_distance_is_the_fewest_edits(first: str, second: str, expected: int) -> None:
    assert distance(first, second) == distance(second, first) == expected


def test_characters_are_right_but_for_the_edits() -> None:
    # 7 and 5 characters in the longer texts, 3 and 1 edits.
    counts = characters(["kitten", "12.50"], ["sitting", "1250"])
    assert counts == Counts(8, 12, 12)
    assert counts.recall == counts.hmean == pytest.approx(1 - 4 / 12)
    assert characters(["ab"], ["wxyz"]) == Counts(0, 4, 4)
    assert characters([], []) == Counts(0, 0, 0)


def test_a_label_is_right_among_the_best_classes() -> None:
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.1, 0.4], [0.3, 0.3, 0.4]])
    labels = [1, 2, 1]
    assert top(scores, labels) == Counts(1, 3, 3)
    assert top(scores, labels, 2) == Counts(2, 3, 3)  # of the equal classes of the third the first wins
    assert top(scores, labels, 5) == Counts(3, 3, 3)


def test_a_score_that_is_not_a_number_is_never_right() -> None:
    assert top(np.full((2, 3), np.nan), [0, 1], 3) == Counts(0, 2, 2)


def test_a_detection_takes_the_best_free_box_of_its_class() -> None:
    truth, found = (
        [box(0, 0, 10, 10), box(0, 0, 10, 8)],
        [box(0, 0, 10, 9), box(0, 0, 10, 10), box(0, 0, 10, 10)],
    )
    sample = detections(truth, [3, 3], found, [3, 3, 4], [0.5, 0.9, 0.99])
    # The surer one takes the first box, so the other takes the second; the third is of another class.
    assert sample == Detections((3, 3, 4), (0.5, 0.9, 0.99), ((True,), (True,), (False,)), (3, 3))


def test_a_box_is_found_once_and_by_the_surer_detection() -> None:
    sample = detections([box(0, 0, 10, 10)], [0], [box(0, 0, 10, 10)] * 2, [0, 0], [0.3, 0.6])
    assert sample.right == ((False,), (True,))


def test_detections_are_matched_for_each_overlap_that_is_asked_for() -> None:
    sample = detections([box(0, 0, 10, 10)], [0], [box(0, 0, 10, 7)], [0], [0.3], (0.5, 0.7, 0.75))
    assert sample.right == ((True, True, False),)


@pytest.mark.parametrize("number", [0, 2])
def test_detections_without_truth_are_wrong_and_truth_without_detections_remains(number: int) -> None:
    place = box(0, 0, 1, 1)
    assert detections([], [], [place] * number, [0] * number, [0.5] * number).right == ((False,),) * number
    assert detections([place] * number, [4] * number, [], [], []).truth == (4,) * number
