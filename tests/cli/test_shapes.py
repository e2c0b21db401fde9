"""`toolkit shapes` as people and programs see it; what it shows is planted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from toolkit.cli import shapes as command
from toolkit.stages import shapes

COST = {"buckets": [4, 16], "padding": 0.5, "inferences": 4, "values": 50, "shapes": 2}
DET = {
    "samples": 2,
    "inferences": 20,
    "met": [{"shapes": {"image": [1, 3, 32, width]}, "count": 1, "listed": False} for width in range(20)],
    "listed": None,
    "covered": None,
    "padded": {},
}
REC = {
    "samples": 2,
    "inferences": 4,
    "met": [
        {"shapes": {"x": [1, 16]}, "count": 3, "listed": True},
        {"shapes": {"x": [1, 4]}, "count": 1, "listed": False},
    ],
    "listed": 200,
    "covered": [[50, 0.5], [200, 0.75]],
    "padded": {
        "widths": {
            "sizes": 4,
            "quantiles": [[0.0, 3], [1.0, 12]],
            "table": [[1, 0.9], [2, 0.4]],
            "present": COST,
            "best": {**COST, "buckets": [12, 16], "padding": 0.4, "values": 40},
        }
    },
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was to be looked at: model, number of buckets."""
    calls: list[Any] = []

    def run(context: Any, name: str, count: Any) -> Any:
        calls.append((name, count))
        return {"det": DET, "rec": REC}[name]

    monkeypatch.setattr(shapes, "run", run)
    return calls


def run(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner(mix_stderr=False).invoke(
        command.shapes_command, ["--build", str(tmp_path / "build"), *arguments]
    )


def test_people_see_the_shapes_of_each_model_and_what_buckets_cost(asked: Any, tmp_path: Path) -> None:
    result = run(tmp_path, "--buckets", "2")
    assert result.exit_code == 0, result.output
    assert asked == [("det", 2), ("rec", 2)]
    rows = [line.split() for line in result.output.splitlines()]
    assert ["det:", "20", "inferences", "for", "2", "samples,", "in", "20", "shapes"] in rows
    assert ["and", "8", "more"] in rows
    assert "of the inferences they cover 50.0% by the first 50, 75.0% by the first 200" in result.output
    assert ["x", "1x16", "75.0%", "75.0%"] in rows
    assert ["x", "1x4", "25.0%", "100.0%", "not", "listed"] in rows
    assert ["2", "40.0%"] in rows
    assert ["in", "the", "spec", "2", "50.0%", "4", "100.0%", "2"] in rows
    assert ["best", "of", "them", "2", "40.0%", "4", "80.0%", "2"] in rows
    # To be copied.
    assert "  widths: [12, 16]" in result.output.splitlines()


def test_more_shapes_than_the_engine_keeps_are_warned_of(asked: Any, tmp_path: Path) -> None:
    text = run(tmp_path).output
    assert "warning: the steps list 200 shapes and `serving.cache_capacity` keeps 128" in text


def test_for_programs_it_is_one_object(asked: Any, tmp_path: Path) -> None:
    told = json.loads(run(tmp_path, "--json").stdout)
    assert told == {"cache_capacity": 128, "models": {"det": DET, "rec": REC}}
