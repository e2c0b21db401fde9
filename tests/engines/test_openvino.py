from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest

from tests.engines.test_kernels import IN_INT8, LAYERS, SHAPES, WORK
from tests.jobs import attempt_all
from toolkit.child import Progress
from toolkit.engines import model, openvino
from toolkit.engines.options import INT8_OPERATORS, PredictorOptions
from toolkit.errors import ModelError

FLOAT = PredictorOptions(backend="openvino").to_json()
INT8 = PredictorOptions("int8", "openvino").to_json()
IN_PADDLE = PredictorOptions("int8", "onednn", op_set=INT8_OPERATORS).to_json()


def refused(directory: str, feed: dict[str, list[int]], progress: Progress) -> str:
    """In a child: what is said of an inference that cannot be."""
    del progress
    run = model.load(Path(directory), PredictorOptions.from_json(FLOAT))
    try:
        run({name: np.zeros(shape, np.float32) for name, shape in feed.items()})
    except ModelError as error:
        return error.message
    return "nothing"


def types(directory: str, shapes: Optional[dict[str, list[int]]], progress: Progress) -> list[list[str]]:
    """In a child: name and type of each layer, compiled for these shapes or for any."""
    del progress
    options = PredictorOptions.from_json(INT8)
    loaded = openvino._load(model.files_in(Path(directory)), options, shapes)
    openvino.OpenvinoPredictor(loaded)({"x": np.zeros(SHAPES["x"], np.float32)})
    nodes = [node.get_rt_info() for node in loaded.compiled.get_runtime_model().get_ordered_ops()]
    told = [
        [openvino._text(node[key]) for key in ("layerType", "originalLayersNames", "runtimePrecision")]
        for node in nodes
    ]
    heavy = [(names, dtype) for kind, names, dtype in told if kind in openvino._KINDS]
    # The numbers of what OpenVINO names by itself differ from one compilation to the next.
    return sorted([re.sub(r"Multiply_\d+", "", names), dtype] for names, dtype in heavy)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("openvino")
    (folder / "layers.py").write_text(LAYERS)
    float_, int8, feed = str(folder / "float"), str(folder / "int8"), str(folder / "feed.npz")
    Path(float_).mkdir()
    np.savez(feed, x=np.random.default_rng(0).uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32))
    here, prove = "tests.engines.test_openvino", "toolkit.engines.kernels:prove"
    layer = {
        "layer": "layers:Net",
        "arguments": {},
        "weights": None,
        "tensors": [{"name": "x", "shape": [-1, 3, 8, 8], "dtype": "float32"}],
        "search_path": str(folder),
    }
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "export": (
            "toolkit.engines.export:from_layer",
            {**layer, "target": float_, "inputs": SHAPES, "outputs": ["y"]},
        ),
        "quantize": (
            "tests.engines.test_kernels:quantize",
            {"source": float_, "names": list(IN_INT8), "target": int8},
        ),
        "float": (prove, {"model_dir": float_, "options": FLOAT, "shapes": SHAPES}),
        "int8": (prove, {"model_dir": int8, "options": INT8, "shapes": SHAPES}),
        "none": (prove, {"model_dir": float_, "options": INT8, "shapes": SHAPES}),
        "unknown": (f"{here}:refused", {"directory": float_, "feed": {"z": [1, 3, 8, 8]}}),
        "other": (f"{here}:refused", {"directory": float_, "feed": {"x": [1, 4, 8, 8]}}),
    }
    for name, shapes in (("any shape", None), ("its shape", SHAPES)):
        calls[name] = (f"{here}:types", {"directory": int8, "shapes": shapes})
    native = PredictorOptions().to_json()
    for name, place, options in (
        ("native", float_, native),
        ("openvino", float_, FLOAT),
        ("paddle int8", int8, IN_PADDLE),
        ("openvino int8", int8, INT8),
    ):
        calls[name] = ("tests.jobs:infer", {"model_dir": place, "options": options, "feed": feed})
    return dict(zip(calls, attempt_all(list(calls.values()), folder / "log")))


def test_it_answers_as_paddle_does(outcomes: dict[str, Any]) -> None:
    np.testing.assert_allclose(outcomes["openvino"]["y"], outcomes["native"]["y"], atol=1e-5)


def test_it_runs_our_int8_models_as_onednn_does(outcomes: dict[str, Any]) -> None:
    expected, found = (np.array(outcomes[f"{name} int8"]["y"]) for name in ("paddle", "openvino"))
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()
    assert np.abs(found - np.array(outcomes["native"]["y"])).max() > 1e-4


def test_the_work_of_every_layer_is_known(outcomes: dict[str, Any]) -> None:
    found = [(layer["name"], layer["macs"]) for layer in outcomes["float"]["layers"]]
    assert sorted(macs for _, macs in found) == sorted(WORK.values())
    # Where fusing has taken the names of what a layer was, it has none.
    assert {name: macs for name, macs in found if name}.items() <= WORK.items()
    assert sum(name is None for name, _ in found) <= 2


def test_what_ran_in_int8_is_proven(outcomes: dict[str, Any]) -> None:
    layers = outcomes["int8"]["layers"]
    assert {item["name"] for item in layers if item["dtype"] == "int8"} - {None} <= set(IN_INT8)
    assert outcomes["int8"]["macs"]["int8"] == sum(WORK[name] for name in IN_INT8)


def test_what_is_proven_for_one_shape_runs_so_for_any(outcomes: dict[str, Any]) -> None:
    assert outcomes["any shape"] == outcomes["its shape"]
    assert len(outcomes["its shape"]) == len(WORK)


def test_int8_that_ran_nowhere_is_an_error(outcomes: dict[str, Any]) -> None:
    assert "no convolution or matrix product ran in it" in outcomes["none"].message


def test_a_feed_that_does_not_fit_is_an_error(outcomes: dict[str, Any]) -> None:
    assert "takes the inputs ['x']" in outcomes["unknown"]
    assert outcomes["other"] == "the input 'x' takes f32 [?,3,8,8], not f32 [1,4,8,8]"


def test_without_the_package_it_is_said_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "installed", lambda: False)
    with pytest.raises(ModelError, match="OpenVINO, which is not installed") as caught:
        openvino.create(model.files_in(tmp_path), PredictorOptions(backend="openvino"))
    assert "extra `openvino`" in str(caught.value.remedy)
