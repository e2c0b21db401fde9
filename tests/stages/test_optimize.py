from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.jobs import attempt_all
from toolkit.stages.optimize import smallest, summary

# A pipeline whose samples give as many inputs as their images have bytes.
CODE = """
import numpy as np

class Step:
    def __init__(self, options):
        self.scale = options["scale"]

    def preprocess(self, payload):
        return [{"x": np.full((1, 2, 3, 4), self.scale * number, np.float32)} for number in range(payload["count"])]

class Judge:
    def __init__(self, options):
        pass

    def payload(self, sample):
        return {"count": len(sample.image.read_bytes())}
"""


def stage_call(folder: Path, name: str, image: bytes) -> tuple[str, dict[str, Any]]:
    """What the stage asks a child for, in a pipeline with one calibration image."""
    place = folder / name
    (place / "target").mkdir(parents=True)
    (place / "ops.py").write_text(CODE)
    (place / "page").write_bytes(image)
    (place / "other").write_bytes(b"other")
    (place / "calibration.txt").write_text("page\t[]\n")
    (place / "validation.txt").write_text("other\t[]\n")
    return "toolkit.stages.optimize:rewrite", {
        "pipeline_dir": str(place),
        "step": ["ops:Step", {"scale": 0.5}],
        "judge": ["ops:Judge", {}],
        "data": str(place),
        "shapes": {"x": [1, 2, 3, 4]},
        "source": str(folder / "source"),
        "target": str(place / "target"),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("optimize")


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> dict[str, Any]:
    """A tiny program, rewritten for a pipeline whose samples give inputs and for one whose samples give none."""
    (folder / "source").mkdir()
    program = {"directory": str(folder / "source"), "feed": str(folder / "feed.npz")}
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "prepared": ("tests.engines.test_optimize:prepare", program),
        "page": stage_call(folder, "page", b"..."),
        "white": stage_call(folder, "white", b""),
    }
    return dict(zip(calls, attempt_all(list(calls.values()), folder / "log")))


def test_rewrites_are_checked_with_what_the_pipeline_preprocessed(
    outcomes: dict[str, Any], folder: Path
) -> None:
    assert (outcomes["page"]["checked_with"], outcomes["page"]["feeds"]) == ("samples", 2)
    assert outcomes["page"]["after"] == {"operators": 6, "elementwise": 1}
    assert (folder / "page" / "target" / "model.pdmodel").is_file()


def test_samples_without_inputs_leave_the_probe_to_check_with(outcomes: dict[str, Any], folder: Path) -> None:
    assert (outcomes["white"]["checked_with"], outcomes["white"]["feeds"]) == ("probe", 1)
    assert outcomes["white"]["after"] == outcomes["page"]["after"]
    # The probe ran, and is not the zeros that rewrites of any kind would pass.
    assert 0 < max(item["difference"] for item in outcomes["white"]["rewrites"] if item["count"]) < 1e-5
    assert (folder / "white" / "target" / "model.pdmodel").is_file()


def test_the_summary_names_what_was_done_and_what_was_refused_and_noise() -> None:
    info: dict[str, Any] = {
        "before": {"operators": 300, "elementwise": 125},
        "after": {"operators": 200, "elementwise": 35},
        "rewrites": [
            {"name": "constants", "count": 0, "refused": None},
            {"name": "batch norm", "count": 3, "refused": None},
            {"name": "affine", "count": 28, "refused": None},
            {"name": "scale", "count": 0, "refused": "RuntimeError: no"},
        ],
        "checked_with": "samples",
    }
    assert summary(info) == (
        "125 element-wise operations -> 35 (batch norm 3, affine 28); scale refused: RuntimeError: no"
    )
    info |= {"rewrites": [], "checked_with": "probe"}
    assert summary(info) == (
        "125 element-wise operations -> 35 (nothing to rewrite); "
        "checked with noise: no calibration sample gives an input"
    )


def test_a_few_small_inputs_of_the_first_samples_are_checked_with() -> None:
    def feeds(*sizes: int) -> list[dict[str, np.ndarray[Any, Any]]]:
        return [{"x": np.zeros(size)} for size in sizes]

    chosen = smallest(iter([feeds(9, 3, 5, 7), [], feeds(4), feeds(1)]))
    assert [feed["x"].size for feed in chosen] == [3, 5, 4]
