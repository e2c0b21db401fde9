from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.jobs import attempt_all
from toolkit.child import Progress
from toolkit.errors import ModelError
from toolkit.quantization import statistics
from toolkit.quantization.statistics import TensorStatistics

# A convolution that changes nothing, so that numpy can follow; then a matrix product.
LAYERS = """
import paddle

class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.first = paddle.nn.Conv2D(2, 2, 1, bias_attr=False)
        self.first.weight.set_value(paddle.eye(2).reshape([2, 2, 1, 1]))
        self.second = paddle.nn.Conv2D(2, 4, 3, padding=1)
        self.third = paddle.nn.Linear(5, 3)

    def forward(self, x):
        x = paddle.nn.functional.relu(self.first(x) + 1.0)
        return self.third(self.second(x))

class Plain(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.gain = self.create_parameter([1])

    def forward(self, x):
        return x * self.gain
"""


def batch(number: int) -> np.ndarray:
    return np.random.default_rng(number).normal(size=(1 + number, 2, 4, 5)).astype(np.float32)


def collected(
    source: str, target: str, scratch: str, first: float, tensors: Any, progress: Progress
) -> dict[str, Any]:
    """In a child: statistics of three batches, of which `first` replaces the first value."""
    from toolkit.engines.collect import Collector

    Path(scratch).mkdir()
    collector = Collector(Path(source), Path(scratch), tensors)
    for number in range(3):
        feed = batch(number)
        feed[0, 0, 0, 0] = first
        collector.update({"x": feed})
        progress(number + 1, 3)
    statistics.save(collector.statistics, Path(target))
    return {"seconds": collector.seconds}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("collect")


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> dict[str, Any]:
    """A small network, and what was collected of it in several ways; in one process."""
    (folder / "layers.py").write_text(LAYERS)
    calls: dict[str, tuple[str, dict[str, Any]]] = {}
    for name, shape in (("Net", [-1, 2, 4, 5]), ("Plain", [-1, 2, 4, 5])):
        (folder / name).mkdir()
        calls[name] = (
            "toolkit.engines.export:from_layer",
            {
                "layer": f"layers:{name}",
                "arguments": {},
                "weights": None,
                "tensors": [{"name": "x", "shape": shape, "dtype": "float32"}],
                "search_path": str(folder),
                "target": str(folder / name),
                "inputs": {"x": [1, 2, 4, 5]},
                "outputs": ["y"],
            },
        )
    for name, source, first, tensors in (
        ("whole", "Net", 0.0, None),
        ("again", "Net", 0.0, None),
        ("chosen", "Net", 0.0, {"x": 1, "y": -1}),
        ("not finite", "Net", float("nan"), None),
        ("nothing", "Plain", 0.0, None),
    ):
        arguments = {"source": str(folder / source), "target": str(folder / f"{name}.npz")}
        arguments.update(scratch=str(folder / f"{name} scratch"), first=first, tensors=tensors)
        calls[name] = (f"{__name__}:collected", arguments)
    return dict(zip(calls, attempt_all(list(calls.values()), folder / "log")))


def loaded(outcomes: dict[str, Any], folder: Path, name: str) -> dict[str, TensorStatistics]:
    assert not isinstance(outcomes[name], Exception), outcomes[name]
    return statistics.load(folder / f"{name}.npz")


def inputs() -> list[np.ndarray]:
    feeds = [batch(number) for number in range(3)]
    for feed in feeds:
        feed[0, 0, 0, 0] = 0.0
    return feeds


def test_the_inputs_of_convolutions_and_matrix_products_are_collected(
    outcomes: dict[str, Any], folder: Path
) -> None:
    found = loaded(outcomes, folder, "whole")
    assert len(found) == 3
    assert next(iter(found)) == "x"
    assert [item.batches for item in found.values()] == [3, 3, 3]
    # 1 + 2 + 3 images of two channels, and of four behind the second convolution.
    assert [item.count for item in found.values()] == [240, 240, 480]
    assert outcomes["whole"]["seconds"] > 0


def test_the_ranges_are_those_of_numpy(outcomes: dict[str, Any], folder: Path) -> None:
    first, second, _ = loaded(outcomes, folder, "whole").values()
    for item, values in ((first, inputs()), (second, [np.maximum(feed + 1, 0) for feed in inputs()])):
        together = np.concatenate(values)
        assert item.minimum == pytest.approx(together.min(), abs=1e-6)
        assert item.maximum == pytest.approx(together.max(), abs=1e-6)
        assert item.channels is not None
        assert item.channels.maximum == pytest.approx(together.max(axis=(0, 2, 3)), abs=1e-6)
        assert item.channels.mean == pytest.approx(together.mean(axis=(0, 2, 3)), abs=1e-6)


def test_of_a_matrix_product_the_last_axis_holds_the_channels(outcomes: dict[str, Any], folder: Path) -> None:
    channels = [item.channels for item in loaded(outcomes, folder, "whole").values()]
    assert [len(item.minimum) for item in channels if item is not None] == [2, 2, 5]


def test_inputs_and_outputs_of_the_model_can_be_collected_too(outcomes: dict[str, Any], folder: Path) -> None:
    found = loaded(outcomes, folder, "chosen")
    assert found["x"].maximum == max(feed.max() for feed in inputs())
    assert found["y"].count == 6 * 4 * 4 * 3


def test_collecting_again_gives_the_same_file(outcomes: dict[str, Any], folder: Path) -> None:
    assert loaded(outcomes, folder, "again")
    assert (folder / "again.npz").read_bytes() == (folder / "whole.npz").read_bytes()


def test_an_activation_that_is_not_finite_is_named(outcomes: dict[str, Any], folder: Path) -> None:
    error = outcomes["not finite"]
    assert isinstance(error, ModelError)
    assert "the activation 'x' has values that are not finite" in error.message
    assert error.where == str(folder / "Net")


def test_a_model_with_nothing_to_quantize_is_refused(outcomes: dict[str, Any], folder: Path) -> None:
    error = outcomes["nothing"]
    assert isinstance(error, ModelError)
    assert "nothing to quantize" in error.message
    assert "candidates: [fp32]" in str(error.remedy)
