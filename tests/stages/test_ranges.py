from __future__ import annotations

from pathlib import Path

import pytest

from tests.stages.test_shapes import CODE
from toolkit.errors import DataError
from toolkit.stages import ranges


def test_a_range_spans_all_that_is_met_or_listed_and_is_fast_for_the_most_frequent() -> None:
    met = [{"x": [1, 3, 8, 64]}, {"x": [6, 3, 8, 32]}, {"x": [6, 3, 8, 32]}]
    assert ranges.of(met, [{"x": [2, 3, 8, 96]}]) == {
        "min_input_shape": {"x": [1, 3, 8, 32]},
        "opt_input_shape": {"x": [6, 3, 8, 32]},
        "max_input_shape": {"x": [6, 3, 8, 96]},
    }


def test_every_input_has_a_range_of_its_own() -> None:
    found = ranges.of([{"a": [1, 8], "b": [2]}, {"a": [1, 4], "b": [3]}], [])
    assert found["min_input_shape"] == {"a": [1, 4], "b": [2]}
    assert found["max_input_shape"] == {"a": [1, 8], "b": [3]}


def observe(folder: Path, *images: bytes) -> dict[str, ranges.Shape]:
    (folder / "ops.py").write_text(CODE)
    for number, image in enumerate(images):
        (folder / str(number)).write_bytes(image)
    (folder / "calibration.txt").write_text("".join(f"{number}\t[]\n" for number in range(len(images))))
    (folder / "other").write_bytes(b"other")
    (folder / "validation.txt").write_text("other\t[]\n")
    step, judge = ("ops:Step", {"widths": [2, 4, 16]}), ("ops:Judge", {})
    return ranges.observe(str(folder), step, judge, str(folder), progress=lambda done, total: None)


def test_shapes_are_those_of_the_calibration_data_and_those_that_the_step_lists(tmp_path: Path) -> None:
    found = observe(tmp_path, bytes([3, 3, 9]), bytes([12, 4]))
    assert found["min_input_shape"] == {"x": [1, 2]}, "which the step lists, and no image has"
    assert found["opt_input_shape"] == {"x": [1, 4]}
    assert found["max_input_shape"] == {"x": [1, 16]}


def test_data_without_a_feed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="yields no feed"):
        observe(tmp_path, b"")
