from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from toolkit import pipeline, spec
from toolkit.data import dataset
from toolkit.images import variations

PIPELINES = Path(__file__).parents[3] / "pipelines"

ops: Any = sys.modules[pipeline.resolve(PIPELINES / "classification", "ops:Classifier").__module__]


def test_the_answer_says_in_words_what_is_in_the_image() -> None:
    step = ops.Classifier({"top": 2})
    scores = np.zeros((1, 1000), np.float32)
    scores[0, [281, 282]] = 0.6, 0.3
    data = cv2.imencode(".png", np.zeros((50, 70, 3), np.uint8))[1].tobytes()
    payload = ops.decode({"image": data})
    assert step.preprocess(payload)[0]["image"].shape == (1, 3, 224, 224)
    assert ops.answer(step.postprocess(payload, [{"scores": scores}])) == {
        "classes": [
            {"id": 281, "name": "tabby, tabby cat", "score": 0.6},
            {"id": 282, "name": "tiger cat", "score": 0.3},
        ]
    }


def test_the_names_are_those_that_the_package_ships_with_the_model() -> None:
    (shipped,) = variations.photographs({"paddlelabel_ml": "model/PPLCNetV2/labels.txt"})
    rows = [row.partition(" ") for row in shipped.read_text(encoding="utf-8").splitlines()]
    ours = (PIPELINES / "classification" / "classes.txt").read_text(encoding="utf-8").splitlines()
    assert [(int(number), name.strip()) for number, _, name in rows] == list(enumerate(ours))


def test_photographs_with_a_class_judge_unless_their_variations_calibrate(tmp_path: Path) -> None:
    plan = spec.load(PIPELINES, "classification")
    options = {**plan.data.options, "counts": {"calibration": 2, "search": 2, "validation": 3}}
    build = pipeline.resolve(PIPELINES / "classification", plan.data.generator)
    build(tmp_path, options, lambda done, total: None)
    labels = [sample.label for sample in dataset.load(tmp_path).validation]
    assert labels[:3] == [None] * 3
    assert len(labels) == 13
    assert None not in labels[3:]
