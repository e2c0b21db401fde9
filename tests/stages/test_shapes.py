from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from toolkit.errors import DataError, SpecError
from toolkit.spec import AGREEMENT
from toolkit.stages import shapes

# An image's bytes are the widths of its lines; a line is a feed.
CODE = """
import numpy as np

class Bare:
    def __init__(self, options):
        self.widths = options.get("widths", [64])

    def preprocess(self, payload):
        padded = [min(w for w in self.widths if w >= min(line, self.widths[-1])) for line in payload["lines"]]
        return [{"x": np.zeros((1, width), np.float32)} for width in padded]

    def postprocess(self, payload, outputs):
        return payload

class Step(Bare):
    def shapes(self):
        return [{"x": (1, width)} for width in self.widths[:1]]

    def sizes(self, payload):
        return {"widths": payload["lines"]}

class Judge:
    def __init__(self, options):
        pass

    def payload(self, sample):
        return {"lines": list(sample.image.read_bytes())}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ops.py").write_text(CODE)
    return tmp_path


def look(folder: Path, *images: bytes, step: str = "Step", count: Any = None, **options: Any) -> Any:
    for number, image in enumerate(images):
        (folder / str(number)).write_bytes(image)
    (folder / "calibration.txt").write_text("".join(f"{number}\t[]\n" for number in range(len(images))))
    (folder / "other").write_bytes(b"other")
    (folder / "validation.txt").write_text("other\t[]\n")
    arguments = (f"ops:{step}", options), ("ops:Judge", {}), str(folder), count
    return shapes.observe(str(folder), *arguments, progress=lambda done, total: None)


def test_what_the_models_meet_is_counted_and_compared_with_what_the_step_lists(folder: Path) -> None:
    found = look(folder, bytes([3, 9, 9]), bytes([12]), widths=[4, 16])
    assert (found["samples"], found["inferences"]) == (2, 4)
    assert (found["listed"], found["covered"]) == (1, [[1, 0.25]])
    assert found["met"] == [
        {"shapes": {"x": [1, 16]}, "count": 3, "listed": False},
        {"shapes": {"x": [1, 4]}, "count": 1, "listed": True},
    ]


def test_a_pipeline_without_labels_shows_what_its_models_meet_too(folder: Path) -> None:
    (folder / "request.py").write_text(
        "def decode(request, options): return {'lines': list(request['image'])}"
    )
    (folder / "0").write_bytes(bytes([3, 9]))
    (folder / "other").write_bytes(b"other")
    (folder / "calibration.txt").write_text("0\n")
    (folder / "validation.txt").write_text("other\n")
    options = {"accepts": "image", "request": "request:decode", "request_options": {}, "response": None}
    judge = (AGREEMENT, {**options, "kind": "top1", "path": "x"})
    found = shapes.observe(
        str(folder),
        ("ops:Bare", {"widths": [16]}),
        judge,
        str(folder),
        None,
        progress=lambda done, total: None,
    )
    assert found["met"] == [{"shapes": {"x": [1, 16]}, "count": 2, "listed": False}]


def test_the_buckets_of_the_spec_stand_beside_the_best(folder: Path) -> None:
    padded = look(folder, bytes([3, 9, 9]), bytes([12]), widths=[4, 16])["padded"]["widths"]
    assert (padded["sizes"], padded["quantiles"][-1]) == (4, [1.0, 12])
    assert padded["table"] == [[1, pytest.approx(64 / 33 - 1)], [2, pytest.approx(48 / 33 - 1)]]
    assert padded["present"] == {
        "buckets": [4, 16],
        "padding": pytest.approx(52 / 33 - 1),
        "inferences": 4,
        "values": 52,
        "shapes": 2,
    }
    # Multiples of 4, as those of the spec are; the largest stays.
    assert padded["best"]["buckets"] == [12, 16]


def test_the_best_are_run_through_the_step_itself(folder: Path) -> None:
    padded = look(folder, bytes([3, 9, 9, 12]), widths=[8, 16], count=3)["padded"]["widths"]
    assert padded["best"]["buckets"] == [8, 16]
    padded = look(folder, bytes([3, 9, 9, 12]), widths=[4, 8, 16], count=3)["padded"]["widths"]
    assert padded["best"] == {
        "buckets": [4, 12, 16],
        "padding": pytest.approx(40 / 33 - 1),
        "inferences": 4,
        "values": 40,
        "shapes": 2,
    }


def test_a_step_that_knows_nothing_of_its_shapes_is_looked_at_all_the_same(folder: Path) -> None:
    found = look(folder, bytes([3, 9]), step="Bare")
    assert (found["listed"], found["covered"], found["padded"]) == (None, None, {})
    assert found["met"] == [{"shapes": {"x": [1, 64]}, "count": 2, "listed": False}]


def test_buckets_that_the_spec_does_not_name_are_asked_for(folder: Path) -> None:
    with pytest.raises(SpecError, match="the options of the step ops:Step lack the list `widths`"):
        look(folder, bytes([3]))


def test_data_without_a_feed_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="yields no feed") as caught:
        look(folder, b"", widths=[4])
    assert caught.value.where == str(folder)
