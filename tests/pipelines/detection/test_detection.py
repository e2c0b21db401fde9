from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from toolkit import pipeline, spec
from toolkit.data import dataset
from toolkit.evaluation.agreement import Difference, Rule, compare
from toolkit.images import variations

PIPELINES = Path(__file__).parents[3] / "pipelines"

ops: Any = sys.modules[pipeline.resolve(PIPELINES / "detection", "ops:Detector").__module__]


def answer(*rows: tuple[float, ...]) -> Any:
    data = cv2.imencode(".png", np.zeros((50, 70, 3), np.uint8))[1].tobytes()
    outputs = {"boxes": np.array(rows, np.float32).reshape(-1, 6), "count": np.array([len(rows)], np.int32)}
    return ops.answer(ops.Detector({}).postprocess(ops.decode({"image": data}), [outputs]))


def test_the_answer_says_in_words_what_is_where() -> None:
    assert answer((16, 0.75, 1, 2, 30, 40)) == {
        "objects": [{"id": 16, "name": "dog", "score": 0.75, "box": [1.0, 2.0, 30.0, 40.0]}],
        "width": 70,
        "height": 50,
    }


def test_what_the_spec_compares_is_in_the_answer() -> None:
    wanted = spec.load(PIPELINES, "detection").agreement
    assert wanted is not None
    rule = Rule(wanted.kind, wanted.path, wanted.classes)
    dog, cat, none = answer((16, 0.75, 1, 2, 30, 40)), answer((15, 0.75, 1, 2, 30, 40)), answer()
    assert compare(rule, dog, dog) == Difference(0, 2)
    assert compare(rule, dog, cat) == Difference(2, 2)
    assert compare(rule, none, none) == Difference(0, 1)


def test_names_size_and_normalisation_are_those_that_the_package_ships_with_the_model() -> None:
    (path,) = variations.photographs({"paddlelabel_ml": "model/PicoDet/ckpt/infer_cfg.yml"})
    shipped = yaml.safe_load(path.read_text(encoding="utf-8"))
    ours = (PIPELINES / "detection" / "classes.txt").read_text(encoding="utf-8").splitlines()
    resize, normalise, _ = shipped["Preprocess"]
    options = spec.load(PIPELINES, "detection").models["det"].options
    assert shipped["label_list"] == ours
    assert (resize["target_size"], resize["keep_ratio"]) == ([options["height"], options["width"]], False)
    assert resize["interp"] == cv2.INTER_CUBIC
    assert (normalise["mean"], normalise["std"]) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert shipped["draw_threshold"] == options["threshold"]


def test_the_first_image_that_judges_has_nothing_in_it(tmp_path: Path) -> None:
    plan = spec.load(PIPELINES, "detection")
    options = {**plan.data.options, "counts": {"calibration": 2, "search": 2, "validation": 3}}
    build = pipeline.resolve(PIPELINES / "detection", plan.data.generator)
    build(tmp_path, options, lambda done, total: None)
    found = dataset.load(tmp_path)
    assert [len(split) for split in (found.calibration, found.search, found.validation)] == [2, 2, 4]
    assert cv2.imread(str(found.validation[0].image)).std() == 0
