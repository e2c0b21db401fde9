from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit import pipeline
from toolkit.errors import SpecError
from toolkit.pipeline import Arrays, Payload


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ops.py").write_text("from .shared import NAME\n\ndef decode():\n    return NAME\n")
    (tmp_path / "shared.py").write_text("NAME = 'first'\n")
    return tmp_path


def test_modules_of_a_pipeline_import_each_other(folder: Path) -> None:
    assert pipeline.resolve(folder, "ops:decode")() == "first"


def test_running_a_pipeline_leaves_nothing_in_its_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    before = set(folder.rglob("*"))
    (folder / "late.py").write_text("NAME = 'late'\n")
    (folder / "ops.py").write_text("def decode():\n    from .late import NAME\n    return NAME\n")
    assert pipeline.resolve(folder, "ops:decode")() == "late"
    assert set(folder.rglob("*")) == {*before, folder / "late.py"}


def test_two_pipelines_with_the_same_modules_live_side_by_side(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "ops.py").write_text((folder / "ops.py").read_text())
    (other / "shared.py").write_text("NAME = 'second'\n")
    assert [pipeline.resolve(place, "ops:decode")() for place in (folder, other, folder)] == [
        "first",
        "second",
        "first",
    ]


def test_a_folder_is_the_same_package_by_whatever_path_it_is_reached(folder: Path) -> None:
    link = folder / "link"
    link.symlink_to(folder)
    assert pipeline.resolve(link, "ops:decode") is pipeline.resolve(folder, "ops:decode")


def test_submodules_are_resolved_with_dots(folder: Path) -> None:
    (folder / "steps").mkdir()
    (folder / "steps" / "__init__.py").touch()
    (folder / "steps" / "detect.py").write_text("from ..shared import NAME\n")
    assert pipeline.resolve(folder, "steps.detect:NAME") == "first"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("opps:decode", "cannot import 'opps'"),
        ("ops:encode", "ops.py has no 'encode'"),
        ("needs:anything", "cannot import 'needs': No module named 'no_such_package'"),
    ],
)
def test_a_reference_that_leads_nowhere_is_an_error_with_the_folder(
    folder: Path, reference: str, message: str
) -> None:
    (folder / "needs.py").write_text("import no_such_package\n")
    with pytest.raises(SpecError) as caught:
        pipeline.resolve(folder, reference)
    assert message in caught.value.message
    assert caught.value.where == str(folder)


class Doubler:
    def preprocess(self, payload: Payload) -> list[Arrays]:
        return [{"x": np.array([number])} for number in payload["numbers"]]

    def postprocess(self, payload: Payload, outputs: list[Arrays]) -> Payload:
        return {**payload, "doubled": [int(output["y"][0]) for output in outputs]}


@pytest.mark.parametrize("numbers", [[1, 2, 3], []])
def test_a_step_runs_one_inference_for_each_feed(numbers: list[int]) -> None:
    feeds: list[Any] = []

    def infer(feed: Arrays) -> Arrays:
        feeds.append(feed)
        return {"y": feed["x"] * 2}

    payload = pipeline.run_step(Doubler(), infer, {"numbers": numbers})
    assert payload["doubled"] == [2 * number for number in numbers]
    assert len(feeds) == len(numbers)
