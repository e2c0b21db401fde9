from __future__ import annotations

import copy
from typing import Any

import pytest

from toolkit.client import Line, ServerFault
from toolkit.client.results import parse_prediction

BOX = [[1, 2], [3.5, 2], [3.5, 4], [1, 4]]
GOOD: dict[str, Any] = {"lines": [{"text": "a", "score": 1, "box": BOX}], "width": 5, "height": 6}


def broken(change: Any) -> object:
    data = copy.deepcopy(GOOD)
    change(data)
    return data


def read(data: object) -> Any:
    prediction = parse_prediction(data)
    return prediction.lines, prediction.width, prediction.height


def test_an_answer_that_is_no_text_is_there_as_it_came() -> None:
    classes = [{"id": 3, "name": "tabby"}]
    prediction = parse_prediction({"classes": classes})
    assert prediction["classes"] == prediction.raw["classes"] == classes
    with pytest.raises(KeyError):
        prediction["lines"]


def test_a_prediction_has_its_lines_its_size_and_what_the_service_said() -> None:
    prediction = parse_prediction(GOOD)
    assert prediction.lines == (Line("a", 1.0, ((1.0, 2.0), (3.5, 2.0), (3.5, 4.0), (1.0, 4.0))),)
    assert (prediction.width, prediction.height) == (5, 6)
    assert prediction.raw == GOOD


def test_an_image_without_text_has_no_lines() -> None:
    assert parse_prediction({**GOOD, "lines": []}).lines == ()


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (None, "the answer must be a JSON object"),
        ([], "the answer must be a JSON object"),
        ({}, "lines must be a list"),
        ({**GOOD, "lines": [5]}, "lines[0] must be a JSON object"),
        (broken(lambda data: data["lines"][0].pop("text")), "lines[0].text must be a string"),
        (broken(lambda data: data["lines"][0].update(score="high")), "lines[0].score must be a number"),
        (broken(lambda data: data["lines"][0].update(score=True)), "lines[0].score must be a number"),
        (broken(lambda data: data["lines"][0]["box"].pop()), "lines[0].box must be four corners"),
        (broken(lambda data: data["lines"][0]["box"][2].pop()), "lines[0].box[2] must be [x, y]"),
        ({**GOOD, "width": 0}, "width must be a positive integer"),
        ({**GOOD, "height": "6"}, "height must be a positive integer"),
    ],
)
def test_an_answer_of_another_shape_is_the_servers_fault_and_the_message_names_the_place(
    data: object, place: str
) -> None:
    with pytest.raises(ServerFault) as caught:
        read(data)
    assert place in caught.value.message
