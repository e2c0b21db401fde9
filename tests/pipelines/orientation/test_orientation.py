from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from toolkit import pipeline
from toolkit.data import dataset
from toolkit.data.labels import Line, Sample
from toolkit.errors import DataError
from toolkit.evaluation.metrics import Counts

FOLDER = Path(__file__).parents[3] / "pipelines" / "orientation"


def module(name: str, attribute: str) -> Any:
    return sys.modules[pipeline.resolve(FOLDER, f"{name}:{attribute}").__module__]


ops, judge, data = module("ops", "Classifier"), module("judge", "Direction"), module("dataset", "straight")


@pytest.mark.parametrize(("size", "drawn"), [((24, 48), 96), ((48, 1000), 192), ((90, 1), 1), ((1, 1), 48)])
def test_a_line_is_scaled_to_the_height_and_padded_with_zeros(size: tuple[int, int], drawn: int) -> None:
    (feed,) = ops.Classifier({}).preprocess({"image": np.full((*size, 3), 255, np.uint8)})
    assert feed["image"].shape == (1, 3, 48, 192)
    assert (feed["image"][..., :drawn] == 1).all()
    assert (feed["image"][..., drawn:] == 0).all()


@pytest.mark.parametrize(("scores", "angle"), [([0.9, 0.1], 0), ([0.2, 0.8], 180)])
def test_the_answer_is_the_angle_that_the_line_is_turned_by(scores: list[float], angle: int) -> None:
    payload = ops.Classifier({}).postprocess({}, [{"direction": np.array([scores], np.float32)}])
    assert ops.answer(payload) == {"angle": angle, "score": max(scores)}


@pytest.mark.parametrize(("label", "direction", "right"), [(0, 0, 1), (1, 1, 1), (0, 1, 0), (1, 0, 0)])
def test_who_turned_the_line_knows_what_is_right(label: int, direction: int, right: int) -> None:
    sample = Sample("a.png", Path("a.png"), label=label)
    assert judge.Direction({}).counts(sample, {"direction": direction}) == Counts(right, 1, 1)
    answer = {"angle": ops.ANGLES[direction]}
    assert judge.Answers({}).counts(sample, answer) == Counts(right, 1, 1)


@pytest.mark.parametrize("label", [None, 2])
def test_a_line_without_a_direction_judges_nobody(label: Any) -> None:
    with pytest.raises(DataError, match="has no direction"):
        judge.Direction({}).counts(Sample("a.png", Path("a.png"), label=label), {"direction": 0})


def test_a_slanting_line_is_cut_out_level() -> None:
    page = np.zeros((100, 100, 3), np.uint8)
    corners = ((20.0, 30.0), (70.0, 40.0), (66.0, 60.0), (16.0, 50.0))
    cv2.fillConvexPoly(page, np.array(corners, np.int32), (255, 255, 255))
    found = data.straight(page, Line("x", corners))
    assert found.shape[:2] == (20, 51)
    assert found.mean() > 240


def test_every_other_line_of_the_pages_is_turned_and_says_so(tmp_path: Path) -> None:
    pages = {"calibration": 1, "search": 1, "validation": 1}
    data.build(tmp_path, {"seed": 2, "pages": pages}, lambda done, total: None)
    found = dataset.load(tmp_path)
    for split in (found.calibration, found.search, found.validation):
        assert [sample.label for sample in split] == [number % 2 for number in range(len(split))]
        assert len(split) > 2
