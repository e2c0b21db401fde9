from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.jobs import attempt_all
from toolkit.child import Progress
from toolkit.engines.compare import Similarity
from toolkit.errors import ModelError

LAYERS = """
import paddle

class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv = paddle.nn.Conv2D(2, 3, 1)
        self.dense = paddle.nn.Linear(5, 4)

    def forward(self, x):
        return self.dense(paddle.nn.functional.relu(self.conv(x)))
"""
THRESHOLD = 2.0
GENERATOR = np.random.default_rng(3)
FEEDS = [GENERATOR.normal(size=(count, 2, 3, 5)).astype(np.float32) for count in (1, 2)]


def prepare(source: str, target: str, progress: Progress) -> dict[str, Any]:
    """Quantize the convolution of the model in `source`, input and weight; give back the parameters of both layers."""
    del progress
    from toolkit.engines import graph as graphs
    from toolkit.engines import layers, model, qdq

    graph = graphs.read(model.files_in(Path(source)))
    conv, dense = layers.layers_of(graph)
    assert conv.weight is not None
    assert dense.weight is not None
    biases = [name for name in graph.weights if name not in (conv.weight, dense.weight)]
    found = {"conv": graph.weights[conv.weight].tolist(), "dense": graph.weights[dense.weight].tolist()}
    found |= {
        "bias": next(graph.weights[name].ravel().tolist() for name in biases if graph.weights[name].size == 3)
    }
    qdq.quantize_activation(graph, conv, conv.activations[0], THRESHOLD)
    qdq.quantize_weight(graph, conv, "channel")
    Path(target).mkdir()
    graph.write(Path(target))
    return {**found, "names": [conv.name, dense.name]}


def rounded(values: Any, threshold: Any) -> Any:
    """`values` through eight bits: the threshold is 127, and one step more fits below zero."""
    return np.clip(np.rint(values / threshold * 127), -128, 127) * threshold / 127


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> dict[str, Any]:
    (folder / "layers.py").write_text(LAYERS)
    (folder / "fp32").mkdir()
    for number, feed in enumerate(FEEDS):
        np.savez(folder / f"{number}.npz", x=feed)
    (folder / "cut.npz").write_bytes((folder / "0.npz").read_bytes()[:100])
    export = {
        "layer": "layers:Net",
        "arguments": {},
        "weights": None,
        "tensors": [{"name": "x", "shape": [-1, 2, 3, 5], "dtype": "float32"}],
        "search_path": str(folder),
        "target": str(folder / "fp32"),
        "inputs": {"x": [1, 2, 3, 5]},
        "outputs": ["y"],
    }
    feeds = [str(folder / f"{number}.npz") for number in range(len(FEEDS))]

    def compare(other: str, paths: list[str]) -> tuple[str, dict[str, Any]]:
        arguments = {
            "reference_dir": str(folder / "fp32"),
            "quantized_dir": str(folder / other),
            "feeds": paths,
        }
        return "toolkit.engines.compare:compare", arguments

    places = {"source": str(folder / "fp32"), "target": str(folder / "int8")}
    calls = {
        "export": ("toolkit.engines.export:from_layer", export),
        "parameters": ("tests.engines.test_compare:prepare", places),
        "int8": compare("int8", feeds),
        "itself": compare("fp32", feeds),
        "none": compare("int8", []),
        "cut": compare("int8", [str(folder / "cut.npz")]),
    }
    return dict(zip(calls, attempt_all(list(calls.values()), folder / "log")))


def expected(outcomes: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """SQNR in dB and cosine of both layers, by numpy over all feeds at once."""
    conv, bias, dense = (np.array(outcomes["parameters"][name]) for name in ("conv", "bias", "dense"))
    weight = conv[:, :, 0, 0]
    weights = weight, rounded(weight, np.abs(weight).max(axis=1, keepdims=True))
    x = np.concatenate(FEEDS).astype(float)
    outputs = [
        np.einsum("oi,nihw->nohw", kernel, values)
        for kernel, values in zip(weights, (x, rounded(x, THRESHOLD)))
    ]
    products = [np.maximum(output + bias[:, None, None], 0) @ dense for output in outputs]
    found = {}
    for name, (first, second) in zip(outcomes["parameters"]["names"], (outputs, products)):
        ratio = (first**2).sum() / ((first - second) ** 2).sum()
        lengths = math.sqrt((first**2).sum() * (second**2).sum())
        found[name] = (10 * math.log10(ratio), (first * second).sum() / lengths)
    return found


def test_each_layer_has_the_noise_that_numpy_finds(outcomes: dict[str, Any]) -> None:
    wanted = expected(outcomes)
    assert [row["name"] for row in outcomes["int8"]] == list(wanted)
    for row in outcomes["int8"]:
        sqnr, cosine = wanted[row["name"]]
        assert 5 < sqnr < 50
        assert row["output_sqnr_db"] == pytest.approx(sqnr, abs=0.01)
        assert row["cosine"] == pytest.approx(cosine, abs=1e-6)


def test_a_model_is_like_itself_without_any_noise(outcomes: dict[str, Any]) -> None:
    assert [row["output_sqnr_db"] for row in outcomes["itself"]] == [None, None]
    assert [row["cosine"] for row in outcomes["itself"]] == [pytest.approx(1), pytest.approx(1)]


def test_without_batches_there_is_nothing_to_compare(outcomes: dict[str, Any]) -> None:
    assert isinstance(outcomes["none"], ModelError)
    assert "no batch" in outcomes["none"].message


def test_a_batch_that_cannot_be_read_is_named(outcomes: dict[str, Any], folder: Path) -> None:
    assert isinstance(outcomes["cut"], ModelError)
    assert outcomes["cut"].where == str(folder / "cut.npz")


def test_ratio_and_cosine_are_those_of_the_sums_over_all_batches() -> None:
    found = Similarity()
    found.add(np.array([3.0, 0.0], np.float32), np.array([3.0, 0.5], np.float32))
    found.add(np.array([[4.0]], np.float32), np.array([[4.0]], np.float32))
    # Signal 9 + 16, noise 0.25: a ratio of 100.
    assert found.sqnr_db == pytest.approx(20)
    assert found.cosine == pytest.approx(25 / math.sqrt(25 * 25.25))


@pytest.mark.parametrize(
    ("reference", "other", "cosine"), [([0.0], [1.0], None), ([1.0], [math.nan], None), ([1.0], [1.0], 1.0)]
)
def test_what_has_no_ratio_is_none(reference: list[float], other: list[float], cosine: Any) -> None:
    found = Similarity()
    found.add(np.array(reference), np.array(other))
    assert found.sqnr_db is None
    assert found.cosine == cosine
