from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit.errors import DataError
from toolkit.stages import calibrate

# An image of n bytes has n lines; each line is a batch, numbered by image and line.
CODE = """
import numpy as np

class Step:
    def __init__(self, options):
        self.offset = options.get("offset", 0)

    def preprocess(self, payload):
        image, lines = payload["image"], payload["lines"]
        return [{"x": np.array([image, line + self.offset], np.float32)} for line in range(lines)]

class Judge:
    def __init__(self, options):
        pass

    def payload(self, sample):
        return {"image": int(sample.name), "lines": len(sample.image.read_bytes()) - 4}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ops.py").write_text(CODE)
    (tmp_path / "frozen").mkdir()
    return tmp_path


def freeze(
    folder: Path, lines: list[int], limit: int, **options: Any
) -> tuple[dict[str, Any], list[list[int]]]:
    """Calibrate with images of so many lines each; the batches that were frozen."""
    for number, count in enumerate(lines):
        (folder / str(number)).write_bytes(b"%04d" % number + b"." * count)
    (folder / "calibration.txt").write_text("".join(f"{number}\t[]\n" for number in range(len(lines))))
    (folder / "other").write_bytes(b"other")
    (folder / "validation.txt").write_text("other\t[]\n")
    seen: list[tuple[int, int]] = []
    result = calibrate.freeze(
        pipeline_dir=str(folder),
        step=("ops:Step", options),
        judge=("ops:Judge", {}),
        data=str(folder),
        limit=limit,
        target=str(folder / "frozen"),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (result["batches"], limit)
    frozen = []
    for path in sorted((folder / "frozen").iterdir()):
        with np.load(path, allow_pickle=False) as arrays:
            frozen.append([int(number) for number in arrays["x"]])
    return result, frozen


def test_batches_come_from_all_images_alike(folder: Path) -> None:
    result, frozen = freeze(folder, [50, 1, 50, 50], 8)
    assert result["batches"] == len(frozen) == 7
    assert [image for image, _ in frozen] == [0, 0, 1, 2, 2, 3, 3]
    assert result["shapes"] == [{"x": [2]}] * 7


def test_within_an_image_batches_are_spread(folder: Path) -> None:
    _, frozen = freeze(folder, [9, 9], 6)
    assert [line for _, line in frozen] == [0, 3, 6, 1, 4, 7]


def test_there_are_never_more_than_were_asked_for(folder: Path) -> None:
    assert len(freeze(folder, [3] * 10, 4)[1]) == 4


def test_images_without_lines_are_passed_over(folder: Path) -> None:
    assert [image for image, _ in freeze(folder, [0, 2, 0, 2], 4)[1]] == [1, 3]


def test_the_steps_options_are_used(folder: Path) -> None:
    assert freeze(folder, [1], 1, offset=7)[1] == [[0, 7]]


def test_without_any_batch_calibration_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="yields no batch") as caught:
        freeze(folder, [0, 0], 4)
    assert caught.value.where == str(folder)
