from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.jobs import attempt_all
from toolkit.engines import signature
from toolkit.engines.kernels import VERBOSE_ENVIRONMENT
from toolkit.engines.options import PredictorOptions
from toolkit.errors import ModelError

ALGORITHMS = ("abs_max", "hist", "KL", "mse", "avg")
CONVOLUTIONS = ("conv2d", "depthwise_conv2d", "fused_conv2d")
INT8 = PredictorOptions("int8", "onednn", op_set=CONVOLUTIONS)
SHAPES = {"x": [1, 16, 12, 12]}

LAYERS = """
import paddle

class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv = paddle.nn.Conv2D(16, 128, 3, padding=1)

    def forward(self, x):
        return paddle.nn.functional.relu(self.conv(x))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ptq")


@pytest.fixture(scope="module")
def feeds(folder: Path) -> list[str]:
    """Calibration batches of two shapes."""
    generator = np.random.default_rng(0)
    paths = []
    for number, side in enumerate((12, 9)):
        paths.append(folder / f"batch_{number:03d}.npz")
        np.savez(paths[-1], x=generator.normal(size=(1, 16, side, side)).astype(np.float32))
    return [str(path) for path in paths]


def quantize(folder: Path, name: str, feeds: list[str], **options: Any) -> tuple[str, dict[str, Any]]:
    (folder / name).mkdir()
    return "toolkit.engines.ptq:quantize", {
        "source": str(folder / "fp32"),
        "feeds": feeds,
        "target": str(folder / name),
        "algorithm": "abs_max",
        "hist_percent": 0.9999,
        "weights": "channel_wise_abs_max",
        "ops": ["conv2d"],
        "skip": [],
        **options,
    }


def prove(folder: Path, name: str, options: PredictorOptions) -> tuple[str, dict[str, Any]]:
    arguments = {"model_dir": str(folder / name), "options": options.to_json(), "shapes": SHAPES}
    return "toolkit.engines.kernels:prove", arguments


@pytest.fixture(scope="module")
def outcomes(folder: Path, feeds: list[str]) -> dict[str, Any]:
    """A small convolution, quantized in every way, and the proofs of what then runs; in one process."""
    (folder / "layers.py").write_text(LAYERS)
    (folder / "fp32").mkdir()
    np.savez(folder / "names.npz", y=np.zeros((1, 16, 12, 12), np.float32))
    np.savez(folder / "dtype.npz", x=np.zeros((1, 16, 12, 12), np.float64))
    (folder / "cut.npz").write_bytes(Path(feeds[0]).read_bytes()[:100])
    export = {
        "layer": "layers:Net",
        "arguments": {},
        "weights": None,
        "tensors": [{"name": "x", "shape": [-1, 16, -1, -1], "dtype": "float32"}],
        "search_path": str(folder),
        "target": str(folder / "fp32"),
        "inputs": SHAPES,
        "outputs": ["y"],
    }
    calls: dict[str, tuple[str, dict[str, Any]]] = {"fp32": ("toolkit.engines.export:from_layer", export)}
    for algorithm in ALGORITHMS:
        calls[algorithm] = quantize(folder, algorithm, feeds, algorithm=algorithm)
        calls[f"{algorithm} proof"] = prove(folder, algorithm, INT8)
    calls["again"] = quantize(folder, "again", feeds, algorithm="hist")
    calls["one scale"] = quantize(folder, "one scale", feeds, weights="abs_max")
    calls["no such op"] = quantize(folder, "no such op", feeds, ops=["depthwise_conv2d"])
    calls["bogus op"] = quantize(folder, "bogus op", feeds, ops=["convolution"])
    calls["skipped"] = quantize(folder, "skipped", feeds, skip=["x"])
    calls["no feeds"] = quantize(folder, "no feeds", [])
    for name in ("names", "dtype", "cut"):
        calls[name] = quantize(folder, name, [*feeds, str(folder / f"{name}.npz")])
    calls["other kernels"] = prove(folder, "abs_max", PredictorOptions("int8", "onednn", op_set=("pool2d",)))
    calls["not quantized"] = prove(folder, "fp32", INT8)
    calls["native"] = prove(folder, "fp32", PredictorOptions())
    calls["onednn"] = prove(folder, "fp32", PredictorOptions(backend="onednn"))
    return dict(zip(calls, attempt_all(list(calls.values()), folder / "log", VERBOSE_ENVIRONMENT)))


def refusal(outcomes: dict[str, Any], name: str) -> ModelError:
    assert isinstance(outcomes[name], ModelError), outcomes[name]
    error: ModelError = outcomes[name]
    return error


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_gives_a_smaller_model_whose_convolution_runs_in_int8(
    outcomes: dict[str, Any], algorithm: str
) -> None:
    result = outcomes[algorithm]
    assert result["quantized"] == {"conv2d": 1}
    assert result["bytes"] < 0.5 * outcomes["fp32"]["bytes"]
    assert outcomes[f"{algorithm} proof"]["primitives"] == {"convolution": {"int8": 1}}


def test_one_scale_for_each_tensor_is_smaller_still(outcomes: dict[str, Any]) -> None:
    assert outcomes["one scale"]["bytes"] < outcomes["abs_max"]["bytes"]


def test_the_quantized_model_keeps_its_names_and_types(outcomes: dict[str, Any], folder: Path) -> None:
    assert outcomes["hist"]["bytes"]
    assert signature.read(folder / "hist") == signature.read(folder / "fp32")


def test_quantizing_again_gives_the_same_weights(outcomes: dict[str, Any], folder: Path) -> None:
    assert outcomes["again"] == outcomes["hist"]
    first, again = ((folder / name / "model.pdiparams").read_bytes() for name in ("hist", "again"))
    assert first == again


@pytest.mark.parametrize("name", ["no such op", "skipped"])
def test_a_model_of_which_nothing_was_quantized_is_an_error(outcomes: dict[str, Any], name: str) -> None:
    error = refusal(outcomes, name)
    assert "quantized no operator" in error.message
    assert "`quantize.ops`" in str(error.remedy)


def test_what_paddleslim_refuses_is_told_with_the_algorithm(outcomes: dict[str, Any]) -> None:
    error = refusal(outcomes, "bogus op")
    assert "cannot quantize the model with abs_max" in error.message
    assert "convolution is not supported for quantization" in error.message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("names", "holds y (float32, 4 dimensions), the model takes x (float32, 4 dimensions)"),
        ("dtype", "holds x (float64, 4 dimensions), the model takes x (float32, 4 dimensions)"),
        ("cut", "the calibration batch cannot be read"),
    ],
)
def test_batches_that_do_not_fit_are_named_and_nothing_hangs(
    outcomes: dict[str, Any], folder: Path, name: str, message: str
) -> None:
    error = refusal(outcomes, name)
    assert message in error.message
    assert error.where == str(folder / f"{name}.npz")


def test_without_batches_nothing_is_calibrated(outcomes: dict[str, Any]) -> None:
    assert "no batch" in refusal(outcomes, "no feeds").message


@pytest.mark.parametrize("name", ["other kernels", "not quantized"])
def test_int8_that_does_not_run_in_int8_is_an_error(outcomes: dict[str, Any], name: str) -> None:
    error = refusal(outcomes, name)
    assert "int8 was asked for, but no convolution or matrix product ran in it" in error.message
    assert "`quantize.kernels`" in str(error.remedy)


def test_the_native_reference_runs_without_onednn(outcomes: dict[str, Any]) -> None:
    assert outcomes["native"]["primitives"] == {}
    assert outcomes["onednn"]["primitives"] == {"convolution": {"fp32": 1}}
