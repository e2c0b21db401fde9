"""`toolkit profile` as people and programs see it; what it shows is planted."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from toolkit import process
from toolkit.cli import profile as command
from toolkit.errors import DataError
from toolkit.stages import evaluate, profile, tuned
from toolkit.supervisor import state as states

SHAPES = [
    {"inputs": {"image": [1, 3, 64, 32]}, "batch": 1, "inferences": 0.5, "milliseconds": 40.0},
    {"inputs": {"image": [1, 3, 32, 32]}, "batch": 1, "inferences": 0.5, "milliseconds": 20.0},
]
LAYER = {
    "name": "conv2d_7",
    "kind": "convolution",
    "dtype": "int8",
    "implementation": "jit_int8:avx2",
    "source": [1, 8, 64, 32],
    "weight": [16, 8, 3, 3],
    "calls": 1.0,
    "milliseconds": 18.0,
    "share": 0.6,
}
OPERATORS = {
    "milliseconds": 30.0,
    "kinds": [{"kind": "convolution", "dtype": "int8", "calls": 2.0, "milliseconds": 24.0, "share": 0.8}],
    "made": {"calls": 0.0, "milliseconds": 0.0, "share": 0.0},
    "outside": {"milliseconds": 6.0, "share": 0.2},
    "layers": [LAYER],
}
FOUND = {
    "name": "ocr",
    "release": "somewhere",
    "rounds": 4,
    "images": [{"file": "a.png", "milliseconds": 50.0}, {"file": "b.png", "milliseconds": 30.0}],
    "request": {
        "name": "request",
        "milliseconds": 40.0,
        "share": 1.0,
        "parts": [
            {"name": "decode", "milliseconds": 10.0, "share": 0.25, "parts": []},
            {
                "name": "det",
                "milliseconds": 30.0,
                "share": 0.75,
                "parts": [{"name": "inference", "milliseconds": 30.0, "share": 0.75, "parts": []}],
            },
        ],
    },
    "models": {
        "det": {
            "precision": "int8",
            "inferences": 1.0,
            "milliseconds": 30.0,
            "shapes": SHAPES,
            "operators": OPERATORS,
            "note": None,
        },
        "rec": {
            "precision": "native",
            "inferences": 2.5,
            "milliseconds": 5.0,
            "shapes": [],
            "operators": None,
            "note": profile.NATIVE_NOTE,
        },
    },
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, Any, int]]:
    """What was to be profiled: release, image, rounds."""
    calls: list[tuple[Path, Any, int]] = []

    def run(directory: Path, image: Any, rounds: int, *_: Any) -> Any:
        calls.append((directory, image, rounds))
        return FOUND

    monkeypatch.setattr(profile, "run", run)
    monkeypatch.setattr(evaluate, "run", lambda _: "an outcome")
    monkeypatch.setattr(tuned, "run", lambda *_: SimpleNamespace(path=Path("rendered")))
    return calls


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that runs another release than the one that would be rendered."""
    target = SimpleNamespace(directory=Path("/srv/release"))
    running = SimpleNamespace(name="ocr", pid=4711, target=target)
    monkeypatch.setattr(states, "running", lambda _: running)


def run(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner(mix_stderr=False).invoke(
        command.profile_command, ["--build", str(tmp_path / "build"), *arguments]
    )


def test_without_a_service_it_is_the_release_that_would_be_launched(asked: Any, tmp_path: Path) -> None:
    result = run(tmp_path, "--rounds", "4")
    assert result.exit_code == 0, result.output
    assert asked == [(Path("rendered"), None, 4)]
    assert "warning" not in result.output


def test_with_a_service_it_is_the_release_that_runs_and_the_shared_cores_are_told(
    service: None, asked: Any, tmp_path: Path
) -> None:
    result = run(tmp_path)
    assert asked[0][0] == Path("/srv/release")
    assert "warning: ocr is running (process 4711) and shares the cores" in result.stderr
    assert "warning" not in result.stdout


def test_for_programs_it_is_one_object_also_beside_a_service(
    service: None, asked: Any, tmp_path: Path
) -> None:
    told = json.loads(run(tmp_path, "--json").stdout)
    assert told == {**FOUND, "shared_with": 4711}


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "the file cannot be read: No such file"), (b"", "the file is empty")],
)
def test_an_image_that_is_not_there_is_refused_before_anything_is_built(
    asked: Any, tmp_path: Path, content: Any, message: str
) -> None:
    path = tmp_path / "photo.jpg"
    if content is not None:
        path.write_bytes(content)
    result = run(tmp_path, "--image", str(path))
    assert isinstance(result.exception, DataError)
    assert message in result.exception.message
    assert (result.exception.where, result.exception.exit_code) == (str(path), 5)
    assert asked == []
    assert not (tmp_path / "build").exists()


def test_a_directory_is_no_image(asked: Any, tmp_path: Path) -> None:
    assert isinstance(run(tmp_path, "--image", str(tmp_path)).exception, DataError)


def test_an_image_of_the_working_directory_is_found_by_the_child_too(
    asked: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photo.png").write_bytes(b"an image")
    run(tmp_path, "--image", "photo.png")
    assert asked[0][1] == tmp_path.resolve() / "photo.png"


@pytest.mark.parametrize("rounds", ["0", "-1", "many"])
def test_rounds_are_a_number_of_at_least_one(asked: Any, tmp_path: Path, rounds: str) -> None:
    assert run(tmp_path, "--rounds", rounds).exit_code == 2
    assert asked == []


def test_people_see_a_tree_whose_figures_stand_in_columns(asked: Any, tmp_path: Path) -> None:
    lines = run(tmp_path).output.splitlines()
    begin = lines.index(next(line for line in lines if line.startswith("stage ")))
    stages = lines[begin + 1 : begin + 5]
    assert [line.split() for line in stages] == [
        ["request", "40.00", "100.0%"],
        ["decode", "10.00", "25.0%"],
        ["det", "30.00", "75.0%"],
        ["inference", "30.00", "75.0%"],
    ]
    assert [len(line) - len(line.lstrip()) for line in stages] == [0, 2, 2, 4]
    assert len({len(line) for line in stages}) == 1


def test_people_see_shapes_operators_layers_and_what_is_outside_of_onednn(asked: Any, tmp_path: Path) -> None:
    text = run(tmp_path).output
    rows = [line.split() for line in text.splitlines()]
    assert ["image", "1x3x64x32", "40.00", "1", "0.50"] in rows
    assert ["convolution", "int8", "24.00", "80.0%", "2.0"] in rows
    layer = "conv2d_7 convolution int8 18.00 60.0% 1.0 1x8x64x32 * 16x8x3x3"
    assert layer.split() in rows
    assert any(row[-2:] == ["6.00", "20.0%"] and "Paddle's" in row for row in rows)
    assert "made anew" not in text


def test_people_are_told_that_the_operators_of_native_fp32_are_not_known(asked: Any, tmp_path: Path) -> None:
    lines = run(tmp_path).output.splitlines()
    place = lines.index("rec in native FP32: 2.5 inferences a request, 5.00 ms")
    assert lines[place + 1].strip() == profile.NATIVE_NOTE


def test_a_cache_that_is_too_small_is_told_with_the_variable_that_sets_it(
    asked: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"calls": 62.0, "milliseconds": 20.0, "share": 0.5}
    monkeypatch.setitem(OPERATORS, "made", made)
    text = run(tmp_path).output
    assert "20.00   50.0%   62.0" in text
    assert "ONEDNN_PRIMITIVE_CACHE_CAPACITY" in text


def test_the_process_of_the_command_does_not_load_the_engine() -> None:
    code = "import sys, toolkit.cli.profile; sys.exit('paddle' in sys.modules)"
    done = process.run([sys.executable, "-c", code], timeout=60)
    assert done.returncode == 0, done.stderr
