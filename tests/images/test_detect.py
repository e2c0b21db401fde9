from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from toolkit.images import detect
from toolkit.images.detect import DetectionStep


def image(height: int = 100, width: int = 200) -> Any:
    return np.zeros((height, width, 3), np.uint8)


def found(*rows: tuple[float, ...], options: Any = None, names: Any = None) -> Any:
    """The objects of the answer where the model gives these rows of class, score and box."""
    outputs = {"boxes": np.array(rows, np.float32).reshape(-1, 6), "count": np.array([len(rows)], np.int32)}
    step = DetectionStep(options or {}, names)
    return detect.answer(step.postprocess({"image": image()}, [outputs]))["objects"]


@pytest.mark.parametrize("size", [(300, 600), (600, 300), (1, 1), (1, 5000)])
def test_any_image_is_stretched_to_the_size_of_the_model_which_is_told_by_how_much(size: Any) -> None:
    (feed,) = DetectionStep({"height": 64, "width": 96}).preprocess({"image": image(*size)})
    assert (feed["image"].shape, feed["image"].dtype) == ((1, 3, 64, 96), np.float32)
    assert feed["scale_factor"].dtype == np.float32
    assert feed["scale_factor"].tolist() == [pytest.approx([64 / size[0], 96 / size[1]])]


def test_planes_are_red_green_blue_by_mean_and_deviation() -> None:
    blue = image()
    blue[..., 0] = 255
    (feed,) = DetectionStep({}).preprocess({"image": blue})
    assert feed["image"][0, :, 0, 0] == pytest.approx([-0.485 / 0.229, -0.456 / 0.224, 0.594 / 0.225])


def test_objects_come_by_falling_score_with_the_names_of_their_classes() -> None:
    rows = (0, 0.7, 1, 2, 3, 4), (0, 0.6, 5, 6, 7, 8), (1, 0.9, 10.04, 20.06, 30, 40)
    assert found(*rows, names=["person", "bicycle"]) == [
        {"id": 1, "name": "bicycle", "score": 0.9, "box": [10.0, 20.1, 30.0, 40.0]},
        {"id": 0, "name": "person", "score": 0.7, "box": [1.0, 2.0, 3.0, 4.0]},
        {"id": 0, "name": "person", "score": 0.6, "box": [5.0, 6.0, 7.0, 8.0]},
    ]
    assert found(rows[0])[0]["name"] == "0"


def test_what_the_model_is_less_sure_of_and_what_is_too_much_is_left_out() -> None:
    rows = [(0, score, 1, 2, 3, 4) for score in (0.3, 0.5, 0.8)]
    assert [item["score"] for item in found(*rows)] == [0.8, 0.5]
    assert [item["score"] for item in found(*rows, options={"threshold": 0.1, "top": 2})] == [0.8, 0.5]


def test_boxes_end_at_the_edges_of_the_image_and_those_outside_are_none() -> None:
    rows = (0, 0.9, -5, -7, 300, 300), (0, 0.8, 210, 10, 220, 20), (0, 0.7, 9.01, 0, 9.02, 9)
    assert [item["box"] for item in found(*rows)] == [[0.0, 0.0, 200.0, 100.0]]


def test_an_image_without_objects_has_an_empty_answer() -> None:
    assert found() == []
    assert detect.answer({"image": image(), "objects": []}) == {"objects": [], "width": 200, "height": 100}


def test_rows_beyond_the_count_are_none() -> None:
    padded = np.full((1, 6), -1, np.float32)
    assert detect.rows_of(padded, np.array([0], np.int32)).shape == (0, 6)
    assert detect.rows_of(np.zeros((0, 6), np.float32), np.array([0], np.int32)).shape == (0, 6)
