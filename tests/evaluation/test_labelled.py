from __future__ import annotations

from toolkit.evaluation import labelled
from toolkit.evaluation.agreement import Rule

RULE = Rule("top1", "classes.id")


def answer(*classes: int) -> dict[str, object]:
    return {"classes": [{"id": number, "name": str(number)} for number in classes]}


def test_only_samples_with_a_label_count_and_the_first_five_are_looked_at() -> None:
    answers = [answer(3, 1), answer(1, 2, 4, 5, 3), answer(1, 2, 4, 5, 6, 3), answer(9)]
    found = labelled.accuracy(RULE, [3, 3, 3, None], answers)
    assert found == {"samples": 3, "top1": 1 / 3, "top5": 2 / 3}


def test_an_answer_may_be_one_class_alone() -> None:
    assert labelled.accuracy(Rule("top1", "angle"), [180], [{"angle": 180}])["top1"] == 1


def test_without_any_label_there_is_nothing_to_count() -> None:
    assert labelled.accuracy(RULE, [None], [answer(1)])["samples"] == 0


def test_names_of_classes_cannot_be_compared_with_their_numbers() -> None:
    assert labelled.comparable(RULE, [answer(3, 4)])
    assert not labelled.comparable(Rule("top1", "classes.name"), [{"classes": [{"name": "tabby"}]}])
    assert not labelled.comparable(RULE, [{"classes": []}])
