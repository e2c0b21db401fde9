from __future__ import annotations

import pytest

from tests.scaffold.models import IMAGE, classifier, model
from toolkit.engines.inspection import Inspection
from toolkit.scaffold import kinds

BOXES = {"boxes": (-1, 6), "count": (-1,)}


@pytest.mark.parametrize(
    ("found", "kind", "reason"),
    [
        (classifier(), "classification", "10 scores"),
        (classifier((-1, 1, -1, -1), classes=-1), "classification", "some scores"),
        (
            model({"image": IMAGE, "scale": (1, 2)}, BOXES),
            "detection",
            "boxes and their number",
        ),
        (model({"x": IMAGE}, {"map": (-1, 1, -1, -1)}), "tensor", "a text detector"),
        (model({"x": (-1, 3, 48, -1)}, {"y": (-1, -1, 6625)}), "tensor", "a text recognizer"),
        (model({"x": (-1, 224, 224, 3)}, {"y": (-1, 10)}), "tensor", "no input is an image"),
        (model({"x": IMAGE}, {"y": (-1, 10)}, dtype="uint8"), "tensor", "no input is an image"),
        (model({"ids": (-1, -1)}, {"y": (-1, 2)}, dtype="int64"), "tensor", "no input is an image"),
        (model({"a": IMAGE, "b": IMAGE}, {"y": (-1, 10)}), "tensor", "2 inputs and 1 outputs"),
        (model({"x": IMAGE}, {"y": (-1, 4, 6, 6)}), "tensor", "could mean anything"),
        (classifier((1, 3, 32, 32)), "classification", "10 scores"),
        # A request is one image, and this takes no less than four.
        (classifier((4, 3, 32, 32)), "tensor", "no input is an image"),
        (classifier(classes=1), "tensor", "could mean anything"),
    ],
)
def test_the_kind_is_guessed_from_shapes(found: Inspection, kind: str, reason: str) -> None:
    guess = kinds.guess(found)
    assert guess.kind == kind
    assert reason in guess.reason
