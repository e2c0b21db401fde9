from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.jobs import attempt_all
from toolkit.data.labels import Sample
from toolkit.errors import DataError
from toolkit.quantization import statistics
from toolkit.stages import calibrate

# An image of n bytes beyond its name has n lines; each line is a batch, numbered by image and line.
CODE = """
import numpy as np

class Step:
    def __init__(self, options):
        self.offset = options.get("offset", 0)

    def preprocess(self, payload):
        image, lines = payload["image"], payload["lines"]
        return [{"x": np.full([1, 1, 2, 2 + line], image + self.offset, np.float32)} for line in range(lines)]

class Judge:
    def __init__(self, options):
        pass

    def payload(self, sample):
        return {"image": int(sample.name), "lines": len(sample.image.read_bytes()) - 4}
"""
LAYERS = """
import paddle

class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.first = paddle.nn.Conv2D(1, 2, 1, bias_attr=False)
        self.first.weight.set_value(paddle.to_tensor([1.0, -1.0]).reshape([2, 1, 1, 1]))
        self.second = paddle.nn.Conv2D(2, 1, 1)

    def forward(self, x):
        return self.second(paddle.nn.functional.relu(self.first(x)))
"""


def chosen(lines: Sequence[int], limit: int) -> list[list[int]]:
    """The lines that are taken of each image, of images of so many lines each, in the images' order."""
    taken: list[list[int]] = [[] for _ in lines]
    samples = [Sample(str(number), Path(), ()) for number in range(len(lines))]

    def preprocess(sample: Sample) -> Any:
        return list(range(lines[int(sample.name)]))

    for sample, feeds in calibrate.batches_of(samples, preprocess, limit):
        taken[int(sample.name)] += feeds
    return taken


def test_batches_come_from_all_images_alike() -> None:
    assert [len(lines) for lines in chosen([50, 50, 50, 50], 8)] == [2, 2, 2, 2]
    assert [len(lines) for lines in chosen([50, 50, 50, 50, 50], 8)] == [2, 2, 2, 1, 1]


def test_what_an_image_lacks_falls_to_those_after_it() -> None:
    assert [len(lines) for lines in chosen([50, 1, 50, 50], 8)] == [2, 1, 3, 2]
    assert [len(lines) for lines in chosen([0, 2, 0, 2], 4)] == [0, 2, 0, 2]


def test_of_more_images_than_batches_some_are_taken_evenly() -> None:
    assert [number for number, lines in enumerate(chosen([3] * 12, 4)) if lines] == [0, 3, 6, 9]


def test_images_without_lines_make_room_for_others() -> None:
    # First every third image, then those next to them.
    assert [number for number, lines in enumerate(chosen([0, 3, 3, 3, 3, 3, 0, 3, 3], 3)) if lines] == [
        1,
        3,
        4,
    ]


def test_within_an_image_batches_are_spread() -> None:
    assert chosen([9, 9], 6) == [[0, 3, 6], [1, 4, 7]]


def test_there_are_never_more_than_were_asked_for_nor_than_there_are() -> None:
    assert sum(len(lines) for lines in chosen([3] * 10, 4)) == 4
    assert sum(len(lines) for lines in chosen([3] * 10, 100)) == 30


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, [0]), (4, [0, 1, 2, 3]), (7, [0, 2, 4, 6]), (8, [0, 2, 4, 6]), (100, [0, 32, 64, 96])],
)
def test_a_few_of_many_batches_are_kept_evenly(count: int, expected: list[int]) -> None:
    kept = calibrate.Kept()
    for number in range(count):
        kept.offer({"x": np.array([number])})
        assert len(kept._held) < 8
    assert [int(feed["x"][0]) for feed in kept.chosen()] == expected


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("calibrate")


def call(folder: Path, name: str, lines: list[int], limit: int, **options: Any) -> tuple[str, dict[str, Any]]:
    """Calibrate with images of so many lines each."""
    data = folder / f"{name} data"
    data.mkdir()
    (folder / name).mkdir()
    for number, count in enumerate(lines):
        (data / str(number)).write_bytes(b"%04d" % number + b"." * count)
    (data / "calibration.txt").write_text("".join(f"{number}\t[]\n" for number in range(len(lines))))
    (data / "other").write_bytes(b"other")
    (data / "validation.txt").write_text("other\t[]\n")
    return "toolkit.stages.calibrate:calibrate", {
        "source": str(folder / "fp32"),
        "pipeline_dir": str(folder),
        "step": ("ops:Step", options),
        "judge": ("ops:Judge", {}),
        "data": str(data),
        "limit": limit,
        "target": str(folder / name),
    }


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> dict[str, Any]:
    """A small network, calibrated in several ways in one process."""
    (folder / "ops.py").write_text(CODE)
    (folder / "layers.py").write_text(LAYERS)
    (folder / "fp32").mkdir()
    export = {
        "layer": "layers:Net",
        "arguments": {},
        "weights": None,
        "tensors": [{"name": "x", "shape": [-1, 1, -1, -1], "dtype": "float32"}],
        "search_path": str(folder),
        "target": str(folder / "fp32"),
        "inputs": {"x": [1, 1, 2, 2]},
        "outputs": ["y"],
    }
    calls = {
        "fp32": ("toolkit.engines.export:from_layer", export),
        "whole": call(folder, "whole", [3, 0, 3, 3], 6, offset=1),
        "again": call(folder, "again", [3, 0, 3, 3], 6, offset=1),
        "white": call(folder, "white", [2], 4),
        "empty": call(folder, "empty", [0, 0], 4),
    }
    return dict(zip(calls, attempt_all(list(calls.values()), folder / "log")))


def test_statistics_of_all_activations_come_from_all_batches(outcomes: dict[str, Any], folder: Path) -> None:
    info = outcomes["whole"]
    assert (info["batches"], info["samples"], info["tensors"]) == (6, 3, 2)
    assert 0 < info["inference_seconds"] < info["seconds"]
    found = statistics.load(folder / "whole" / calibrate.STATISTICS)
    first, second = found.values()
    # Images 0, 2 and 3, with the step's offset of 1: constant 1, 3 and 4, and their negatives cut off.
    assert (first.minimum, first.maximum, first.batches) == (1.0, 4.0, 6)
    assert second.channels is not None
    assert second.channels.maximum.tolist() == [4.0, 0.0]


def test_a_few_real_batches_are_kept_and_nothing_else(outcomes: dict[str, Any], folder: Path) -> None:
    assert outcomes["whole"]
    names = sorted(path.name for path in (folder / "whole").iterdir())
    assert names == [*(f"batch_{number:03d}.npz" for number in range(4)), "statistics.npz"]
    with np.load(folder / "whole" / "batch_000.npz", allow_pickle=False) as feed:
        assert feed["x"].tolist() == [[[[1.0, 1.0], [1.0, 1.0]]]]


def test_calibrating_again_gives_the_same_files(outcomes: dict[str, Any], folder: Path) -> None:
    assert outcomes["again"]["batches"] == 6
    for path in (folder / "whole").iterdir():
        assert (folder / "again" / path.name).read_bytes() == path.read_bytes()


def test_images_without_batches_and_silent_activations_are_told(outcomes: dict[str, Any]) -> None:
    assert outcomes["whole"]["warnings"] == ["samples that gave no batch: 1"]
    (warning,) = outcomes["white"]["warnings"]
    assert warning.startswith("activations that were zero on all the calibration data: x, ")


def test_without_any_batch_calibration_is_refused(outcomes: dict[str, Any], folder: Path) -> None:
    error = outcomes["empty"]
    assert isinstance(error, DataError)
    assert "yields no batch" in error.message
    assert error.where == str(folder / "empty data")
