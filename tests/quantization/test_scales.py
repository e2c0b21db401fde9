from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.jobs import attempt_all
from toolkit.child import Progress
from toolkit.quantization import scales, statistics
from toolkit.quantization.scales import ALGORITHMS, FLOOR
from toolkit.quantization.statistics import BINS, TensorStatistics

GENERATOR = np.random.default_rng(0)
NORMAL = GENERATOR.normal(size=60_000)
SHAPES = {
    "normal": NORMAL,
    "relu": np.maximum(NORMAL, 0),
    "laplace": GENERATOR.laplace(size=60_000),
    "uniform": GENERATOR.uniform(-1, 1, 60_000),
    "hardswish": 2 * NORMAL * np.clip(2 * NORMAL + 3, 0, 6) / 6,
    "long tail": GENERATOR.standard_t(3, size=60_000),
}


def of(*batches: Any) -> TensorStatistics:
    found = TensorStatistics()
    for batch in batches:
        found.update(np.asarray(batch, np.float32), None)
    return found


def quantized(values: np.ndarray, limit: float) -> np.ndarray:
    return np.asarray(np.round(np.clip(values / limit, -1, 1) * 127) / 127 * limit)


def mean_squared_error(values: np.ndarray, limit: float) -> float:
    return float(np.mean((values - quantized(values, limit)) ** 2))


def test_minmax_is_the_greatest_absolute_value() -> None:
    assert scales.threshold(of([1.0, -3.5], [2.0]), "minmax") == 3.5


def test_the_moving_average_is_that_of_the_batches_absolute_maxima() -> None:
    # (0.9 * 2 + 4) / (0.9 + 1)
    assert scales.threshold(of([1, -2], [4]), "moving_average") == pytest.approx(5.8 / 1.9)


def test_the_histogram_covers_the_share_that_was_asked_for() -> None:
    # 1 .. 1000 in a range of 1024 with bins of 0.25: nine tenths of the values are below 900 and a bin.
    found = of(np.arange(1, 1001) * np.where(np.arange(1000) % 2, 1, -1))
    assert scales.threshold(found, "histogram", 0.9) == pytest.approx(900, abs=0.25)
    assert scales.threshold(found, "histogram", 1.0) == 1000.0


def test_the_least_error_clips_a_lone_outlier() -> None:
    # 60,000 values spread over -1..1, and one at 4. The mean squared error, (T / 127)^2 / 12 + (4 - T)^2 / 60,000, is
    # least where T = 4 / (1 + 60,000 / (12 * 127^2)) = 3.05.
    found = of(np.append(np.linspace(-1, 1, 60_000), 4.0))
    assert scales.threshold(found, "mse") == pytest.approx(3.05, abs=0.04)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_least_error_is_found_though_only_the_histogram_is_known(shape: str) -> None:
    values = SHAPES[shape].astype(np.float32)
    found = scales.threshold(of(values), "mse")
    candidates = np.linspace(0.01, 1, 100) * np.abs(values).max()
    least = min(mean_squared_error(values, limit) for limit in candidates)
    assert mean_squared_error(values, found) <= 1.005 * least


def reference_divergence(bins: np.ndarray, length: int) -> float:
    """KL(P || Q) as Migacz defines it, with PaddleSlim's levels, one value after the other."""
    reference = [float(count) for count in bins[:length]]
    spread = [0.0] * length
    merged = length // 127
    for level in range(127):
        part = range(level * merged, (level + 1) * merged if level < 126 else length)
        places = [place for place in part if reference[place] > 0]
        for place in places:
            spread[place] = sum(reference[other] for other in part) / len(places)
    reference[-1] += float(bins[length:].sum())
    p, q = np.array(reference) / sum(reference), np.array(spread) / sum(spread)
    return float(sum(a * math.log(a / b) for a, b in zip(p, q) if a > 0))


@pytest.mark.parametrize("shape", ["normal", "relu", "long tail"])
def test_the_divergence_is_least_where_the_plain_computation_has_it(shape: str) -> None:
    bins, _ = np.histogram(np.abs(SHAPES[shape]), bins=2048)
    lengths = [length for length in range(1023, 2048) if bins[length - 1] > 0][::32]
    best = scales._best_length(bins.astype(np.float64))
    assert bins[best - 1] > 0
    assert reference_divergence(bins, best) <= min(reference_divergence(bins, length) for length in lengths)


def test_kl_does_not_take_the_values_of_a_mask_for_outliers() -> None:
    # Zero and one only: PaddleSlim's threshold is 0.0002 here.
    assert scales.threshold(of([0.0, 1.0] * 500), "kl") == pytest.approx(1.0, abs=1e-3)


def test_kl_clips_a_lone_outlier() -> None:
    found = of(np.append(np.linspace(-1, 1, 10_000), 100.0))
    assert scales.threshold(found, "kl") == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("power", [-20, 20])
def test_a_threshold_grows_with_its_values(algorithm: str, power: int) -> None:
    values = SHAPES["hardswish"]
    scaled = scales.threshold(of(values * 2.0**power), algorithm)
    assert scaled == pytest.approx(scales.threshold(of(values), algorithm) * 2.0**power, rel=1e-6)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_threshold_exceeds_the_greatest_value(algorithm: str) -> None:
    for values in SHAPES.values():
        found = of(values, 0.5 * values)
        assert 0 < scales.threshold(found, algorithm) <= found.absolute_maximum


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "values", [np.zeros(100), np.array([]), np.array([1e-40]), np.array([-1e-40, 0.0]), np.array([0.7] * 9)]
)
def test_a_threshold_is_positive_and_finite_whatever_the_activation(algorithm: str, values: Any) -> None:
    found = scales.threshold(of(values), algorithm)
    assert FLOOR <= found <= max(FLOOR, 0.7 + 1e-6)


def test_what_was_always_zero_gets_the_floor() -> None:
    assert scales.threshold(of(np.zeros(100)), "histogram") == FLOOR


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="'avg' is none of minmax, histogram, moving_average, kl, mse"):
        scales.threshold(of([1.0]), "avg")


@pytest.mark.parametrize("percent", [0.0, -1.0, 1.1, 99.99])
def test_a_share_that_is_none_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="percent is"):
        scales.threshold(of([1.0]), "histogram", percent)


def test_the_clipped_share_is_that_above_the_threshold() -> None:
    found = of(np.arange(1, 1001))
    assert scales.clipped_share(found, 900.0) == pytest.approx(0.1, abs=0.001)
    assert scales.clipped_share(found, 1000.0) == 0.0
    assert scales.clipped_share(of(np.zeros(9)), FLOOR) == 0.0


def test_the_noise_of_evenly_spread_values_is_that_of_the_textbook() -> None:
    # Signal T^2 / 3, noise (T / 127)^2 / 12: 10 log10(4 * 127^2) = 48.1 dB.
    found = of(np.linspace(-1, 1, 60_001))
    assert scales.signal_to_noise(found, 1.0) == pytest.approx(10 * math.log10(4 * 127**2), abs=0.01)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [1.0, 0.7, 0.3, 0.05])
def test_the_expected_noise_is_that_of_quantized_values(shape: str, share: float) -> None:
    values = SHAPES[shape].astype(np.float32)
    limit = share * float(np.abs(values).max())
    measured = 10 * math.log10(float(np.mean(values**2)) / mean_squared_error(values, limit))
    assert scales.signal_to_noise(of(values), limit) == pytest.approx(measured, abs=0.1)


def test_zeros_make_no_noise() -> None:
    # Of the first bin, a tenth of a bin's width above zero, and zeros: the noise is that of the rest.
    width = 1 / (BINS // 2)
    some = np.append(np.linspace(0.5, 1, 1000), [0.1 * width])
    with_zeros = of(np.append(some, np.zeros(50_000)))
    assert scales.signal_to_noise(with_zeros, 1.0) == pytest.approx(scales.signal_to_noise(of(some), 1.0))


def test_nothing_but_zeros_has_no_noise() -> None:
    assert scales.signal_to_noise(of(np.zeros(9)), FLOOR) == math.inf


# PaddleSlim's scales of the same tensors.

LAYERS = """
import paddle

class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        paddle.seed(0)
        self.first = paddle.nn.Conv2D(3, 24, 3, padding=1)
        self.second = paddle.nn.Conv2D(24, 16, 3, padding=1)

    def forward(self, x):
        return self.second(paddle.clip(self.first(x), 0.0, 2.0))
"""
PADDLESLIM = {"minmax": "abs_max", "histogram": "hist", "kl": "KL", "mse": "mse"}
PERCENT = 0.999


Compared = dict[str, list[tuple[float, TensorStatistics]]]


def paddleslim_scales(source: str, feeds: list[str], algorithm: str, target: str, progress: Progress) -> Any:
    """In a child: the scales of activations that PaddleSlim finds, by tensor."""
    import paddle
    from paddleslim.quant import quant_post_static

    from toolkit.engines import files, graph

    class Batches(paddle.io.IterableDataset):  # type: ignore[misc] # the base class has no types
        def __iter__(self) -> Iterator[np.ndarray]:
            for path in feeds:
                with np.load(path, allow_pickle=False) as arrays:
                    yield arrays["x"]
                progress(0, 0)

    paddle.enable_static()
    place = paddle.CPUPlace()
    with paddle.static.program_guard(paddle.static.Program()):
        inputs = [paddle.static.data("x", [-1, 3, -1, -1])]
    quant_post_static(
        paddle.static.Executor(place),
        source,
        target,
        data_loader=paddle.io.DataLoader(
            Batches(), feed_list=inputs, places=[place], batch_size=None, return_list=False
        ),
        model_filename="model.pdmodel",
        params_filename="model.pdiparams",
        batch_nums=len(feeds),
        algo=algorithm,
        hist_percent=PERCENT,
        quantizable_op_type=["conv2d"],
        onnx_format=True,
    )
    program = graph.read(files.find(Path(target)))
    return {
        graph.input_(op, "X"): program.weights[graph.input_(op, "Scale")].reshape(-1)[0].item()
        for op in program.ops
        if op.type == "quantize_linear" and graph.input_(op, "X") not in program.weights
    }


def paddleslim_kl(bins: list[list[int]], progress: Progress) -> list[float]:
    """In a child: the thresholds that PaddleSlim finds in histograms, in bins."""
    from paddle.static.quantization.cal_kl_threshold import cal_kl_threshold

    del progress
    return [float(cal_kl_threshold(np.array(item), 1.0, 8)) for item in bins]


def collected(source: str, feeds: list[str], target: str, progress: Progress) -> None:
    """In a child: our statistics of the same model."""
    from toolkit.engines.collect import Collector

    with tempfile.TemporaryDirectory() as scratch:
        collector = Collector(Path(source), Path(scratch))
        for number, path in enumerate(feeds):
            with np.load(path, allow_pickle=False) as feed:
                collector.update(dict(feed))
            progress(number + 1, len(feeds))
    statistics.save(collector.statistics, Path(target))


def calls_of(folder: Path, feeds: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A network with two convolutions, then by algorithm PaddleSlim's scales and our statistics of it."""
    (folder / "layers.py").write_text(LAYERS)
    (folder / "fp32").mkdir()
    yield (
        "toolkit.engines.export:from_layer",
        {
            "layer": "layers:Net",
            "arguments": {},
            "weights": None,
            "tensors": [{"name": "x", "shape": [-1, 3, -1, -1], "dtype": "float32"}],
            "search_path": str(folder),
            "target": str(folder / "fp32"),
            "inputs": {"x": [1, 3, 8, 8]},
            "outputs": ["y"],
        },
    )
    for algorithm, name in PADDLESLIM.items():
        # PaddleSlim's `mse` keeps the scale of the one batch with the least error, ours is of all together.
        both = {"source": str(folder / "fp32"), "feeds": feeds[:1] if algorithm == "mse" else feeds}
        target = str(folder / algorithm)
        yield f"{__name__}:paddleslim_scales", {**both, "algorithm": name, "target": target}
        yield f"{__name__}:collected", {**both, "target": f"{target}.npz"}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """By algorithm, for each activation: PaddleSlim's scale, and our statistics."""
    folder = tmp_path_factory.mktemp("paddleslim")
    feeds = []
    for number, side in enumerate((24, 32)):
        feeds.append(str(folder / f"batch_{number:03d}.npz"))
        values = np.random.default_rng(number).normal(size=(2, 3, side, side)).astype(np.float32)
        # Absolute values of 0..4 here and, after the first convolution, of 0..2: PaddleSlim's bins are then ours.
        values[0, 0, 0, :2] = 0.0, 4.0
        np.savez(feeds[-1], x=np.clip(values, -4.0, 4.0))
    outcomes = attempt_all(list(calls_of(folder, feeds)), folder / "log")
    failed = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert not failed, failed
    result: Compared = {}
    for algorithm, theirs in zip(PADDLESLIM, outcomes[1::2]):
        ours = statistics.load(folder / f"{algorithm}.npz")
        assert set(ours) <= set(theirs)
        result[algorithm] = [(theirs[name], item) for name, item in ours.items()]
    return result


@pytest.mark.parametrize(
    ("algorithm", "tolerance"),
    [
        # The same maximum, but for the rounding of convolutions in oneDNN and in Paddle's own kernels.
        ("minmax", 1e-5),
        # Bins are 1 / 2048 of the maximum. The same value is in PaddleSlim's bin, of which it takes the middle, and in
        # ours, which is as narrow or narrower.
        ("histogram", 1.5 / 2048),
        # PaddleSlim tries 0.30, 0.32 .. 0.98 of the maximum (its sum of steps misses 1.00), we 0.01, 0.02 .. 1.00: its
        # step and half of ours.
        ("mse", 0.025),
    ],
)
def test_scales_are_those_of_paddleslim(compared: Compared, algorithm: str, tolerance: float) -> None:
    assert len(compared[algorithm]) == 2
    for theirs, found in compared[algorithm]:
        ours = scales.threshold(found, algorithm, PERCENT)
        assert ours == pytest.approx(theirs, abs=tolerance * found.absolute_maximum)


def test_the_kl_scale_is_that_of_paddleslim_or_as_good(compared: Compared) -> None:
    # In the same bins the same length wins, unless the rounding of convolutions moves a value over an edge, and of two
    # minima almost as deep the other wins: then both have almost the same divergence.
    for theirs, found in compared["kl"]:
        bins, width = scales._even_bins(found), found.absolute_maximum / 2048
        ours = scales.threshold(found, "kl")
        least, other = (reference_divergence(bins, round(limit / width - 0.5)) for limit in (ours, theirs))
        assert least <= other <= 1.02 * least


def test_in_the_same_histogram_the_kl_threshold_is_that_of_paddleslim(tmp_path: Path) -> None:
    bins = [np.histogram(np.abs(SHAPES[shape]), bins=2048)[0] for shape in ("normal", "relu", "hardswish")]
    call = (f"{__name__}:paddleslim_kl", {"bins": [item.tolist() for item in bins]})
    (theirs,) = attempt_all([call], tmp_path / "log")
    assert [scales._best_length(item.astype(np.float64)) + 0.5 for item in bins] == theirs
