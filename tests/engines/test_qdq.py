from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest

from tests.engines.rewrites import programs
from tests.engines.rewrites.programs import add, conv, op
from tests.jobs import attempt_all
from toolkit import cpu
from toolkit.child import Progress
from toolkit.engines import qdq
from toolkit.engines.kernels import VERBOSE_ENVIRONMENT
from toolkit.engines.layers import Layer
from toolkit.engines.options import PredictorOptions

OP_SET = ("conv2d", "depthwise_conv2d", "fused_conv2d", "fc")
INT8 = PredictorOptions("int8", "onednn", op_set=OP_SET)
SIMULATION = PredictorOptions()
RANDOM = np.random.default_rng(0)

# Without VNNI, oneDNN adds products of INT8 in 16 bits, and sums that do not fit are cut: another result by design.
saturating = pytest.mark.skipif(
    not {"AVX2_VNNI", "AVX512_CORE_VNNI"} & set(cpu.levels()),
    reason="INT8 saturates on this processor: no VNNI",
)


def layer(kind: str, *shape: int) -> Layer:
    return Layer("l", kind, ("x",), "l.w_0", shape, "y")


def normal(*shape: int) -> Any:
    return RANDOM.normal(size=shape).astype(np.float32).tolist()


PAIR = (
    [
        conv("x", "c.w_0", "a"),
        add("a", "c.b_0", "b", 1),
        op("relu", {"X": "b"}, "c"),
        conv("c", "d.w_0", "e"),
        add("e", "d.b_0", "y", 1),
    ],
    {"c.w_0": normal(16, 8, 3, 3), "c.b_0": normal(16), "d.w_0": normal(16, 16, 1, 1), "d.b_0": normal(16)},
)
UNBIASED = ([PAIR[0][0], op("relu", {"X": "a"}, "y")], {"c.w_0": PAIR[1]["c.w_0"]})
# Both convolutions read x.
FORK = (
    [conv("x", "c.w_0", "y"), conv("x", "d.w_0", "z")],
    {"c.w_0": normal(16, 8, 1, 1), "d.w_0": normal(16, 8, 1, 1)},
)
PRODUCT = ([op("matmul_v2", {"X": "x", "Y": "c.w_0"}, "a"), add("a", "c.b_0", "y", 2)], {"c.b_0": normal(24)})
THRESHOLDS = {"x": 2.0, "c": 4.0}


def case(
    program: Any,
    int8: Sequence[str],
    granularity: str = "channel",
    outputs: Sequence[str] = ("y",),
    shape: Sequence[int] = (-1, 8, -1, -1),
    correct: bool = False,
    **weights: Any,
) -> tuple[str, dict[str, Any]]:
    written = {
        "ops": program[0],
        "weights": {**program[1], **weights},
        "outputs": list(outputs),
        "shape": list(shape),
    }
    arguments = {"program": written, "int8": list(int8), "granularity": granularity, "correct": correct}
    return "tests.engines.test_qdq:quantized", arguments


def quantized(
    program: dict[str, Any], int8: Sequence[str], granularity: str, correct: bool, progress: Progress
) -> dict[str, Any]:
    """In the child: quantize all weights, and the activations of the layers `int8`; then run the program.

    Args:
        correct: correct the biases first, for means of 1.

    Returns:
        The first output in FP32, in INT8 and as a simulation; operators, parameters, what ran in which type, and the
        same of Paddle's own passes.
    """
    from toolkit.engines import correction, kernels, layers, model
    from toolkit.engines import graph as graphs
    from toolkit.engines import program as programs_of

    feed = programs.noise(program["shape"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs.write(folder, **program)
        found = {"fp32": _first(model.load(folder, SIMULATION)({"x": feed}))}
        graph = graphs.read(model.files_in(folder))
        if correct:
            for item in layers.layers_of(graph):
                correction.correct(graph, item, np.ones(8), granularity)
        for item in layers.layers_of(graph):
            if item.name in int8:
                for activation in item.activations:
                    qdq.quantize_activation(graph, item, activation, THRESHOLDS[activation])
            else:
                qdq.keep_float(graph, item)
            qdq.quantize_weight(graph, item, granularity)
        graph.write(folder)
        for key, options in (("int8", INT8), ("simulation", SIMULATION)):
            found[key] = _first(model.load(folder, options)({"x": feed}))
        programs_of.signature(programs_of.read(model.files_in(folder).model)).write(folder)
        try:
            proof = kernels.prove(name, INT8.to_json(), {"x": list(feed.shape)}, progress)
        except kernels.ModelError:
            proof = {"layers": [], "others": {}}
        return {
            **found,
            "ops": programs.describe(graph),
            "weights": {key: array.tolist() for key, array in graph.weights.items()},
            "types": {item["name"]: item["dtype"] for item in proof["layers"]},
            "others": sorted(set(proof["others"]) - {"reorder"}),
        }


def _first(outputs: Mapping[str, Any]) -> Any:
    return next(iter(outputs.values())).tolist()


def by_paddle(program: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In the child: the program quantized by Paddle's own passes with `THRESHOLDS`: its output and its parameters."""
    import paddle
    from paddle.base.framework import IrGraph
    from paddle.static.quantization import QuantizationTransformPassV2, QuantWeightPass

    from toolkit.engines import graph as graphs
    from toolkit.engines import model

    del progress
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs.write(folder, **program)
        paddle.enable_static()
        scope, place = paddle.static.Scope(), paddle.CPUPlace()
        executor = paddle.static.Executor(place)
        with paddle.static.scope_guard(scope):
            prefix = str(folder / "model")
            loaded, feeds, fetches = paddle.static.load_inference_model(prefix, executor)
            ir = IrGraph(paddle.base.core.Graph(loaded.desc), for_test=True)
            QuantizationTransformPassV2(
                scope=scope,
                place=place,
                activation_quantize_type="moving_average_abs_max",
                weight_quantize_type="channel_wise_abs_max",
                quantizable_op_type=["conv2d"],
                is_test=True,
            ).apply(ir)
            # As PaddleSlim does it: the passes leave all scales to the caller.
            scales = {tensor: np.array([threshold]) for tensor, threshold in THRESHOLDS.items()}
            for tensor in ("c.w_0", "d.w_0"):
                scales[tensor] = qdq.thresholds_of(np.array(program["weights"][tensor]), 0)
            for tensor, values in scales.items():
                scope.find_var(f"{tensor}@scale").get_tensor().set(values.astype(np.float32), place)
            QuantWeightPass(scope, place).apply(ir)
            changed = ir.to_program()
            outputs = [changed.global_block().var(item.name) for item in fetches]
            inputs = [changed.global_block().var(item) for item in feeds]
            paddle.static.save_inference_model(prefix, inputs, outputs, executor, program=changed)
        graph = graphs.read(model.files_in(folder))
        feed = programs.noise(program["shape"])
        return {
            "ops": programs.describe(graph),
            "weights": {key: array.tolist() for key, array in graph.weights.items()},
            "int8": _first(model.load(folder, INT8)({"x": feed})),
        }


CASES = {
    "both": case(PAIR, ["c", "d"]),
    "one excluded": case(PAIR, ["c"]),
    "weights only": case(PAIR, []),
    "fork": case(FORK, ["c", "d"], outputs=("y", "z")),
    "corrected": case(UNBIASED, ["c"], correct=True),
    "product": case(PRODUCT, ["c"], shape=(-1, -1, 8), **{"c.w_0": normal(8, 24)}),
    "square": case((PRODUCT[0], {"c.b_0": normal(8)}), ["c"], shape=(-1, -1, 8), **{"c.w_0": normal(8, 8)}),
    "paddle": ("tests.engines.test_qdq:by_paddle", {"program": case(PAIR, [])[1]["program"]}),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    log = tmp_path_factory.mktemp("qdq") / "log"
    return dict(zip(CASES, attempt_all(list(CASES.values()), log, VERBOSE_ENVIRONMENT)))


def rounded(weight: Any, axis: Optional[int]) -> np.ndarray[Any, Any]:
    values = np.array(weight, np.float32)
    thresholds = qdq.thresholds_of(values, axis)
    return qdq.from_integers(qdq.to_integers(values, thresholds, axis), thresholds, axis)


def largest(found: Any, other: Any) -> float:
    """The largest difference, relative to the largest value."""
    return float(np.abs(np.subtract(found, other)).max() / np.abs(other).max())


def test_the_largest_value_of_a_channel_becomes_127_and_halves_go_to_the_even_integer() -> None:
    values = np.array([[254.0, 1.0, 3.0, -254.0], [-1.27, 0.5, 0.004, 0.0]], np.float32)
    thresholds = qdq.thresholds_of(values, 0)
    assert thresholds == pytest.approx([254, 1.27])
    assert qdq.to_integers(values, thresholds, 0).tolist() == [[127, 0, 2, -127], [-127, 50, 0, 0]]


def test_one_scale_is_that_of_the_largest_value_and_clips_what_is_larger() -> None:
    values = np.array([[127.0, 1.6], [-3.0, 200.0]])
    assert qdq.thresholds_of(values, None).tolist() == [200]
    assert qdq.to_integers(values, np.array([127.0]), None).tolist() == [[127, 2], [-3, 127]]


def test_integers_stand_for_multiples_of_the_threshold_over_127() -> None:
    found = qdq.from_integers(np.array([[127, -1], [2, 0]], np.int8), np.array([12.7, 254.0]), 0)
    assert found == pytest.approx(np.array([[12.7, -0.1], [4, 0]]))


def test_a_channel_of_zeros_has_a_scale_all_the_same() -> None:
    assert qdq.thresholds_of(np.array([[0.0, 0.0], [0.0, 3.0]]), 0).tolist() == [1, 3]


def test_convolutions_have_a_scale_for_each_output_channel_and_matrices_have_one() -> None:
    assert qdq.scale_axis(layer("conv2d", 16, 8, 3, 3), "channel") == 0
    assert qdq.scale_axis(layer("depthwise_conv2d", 8, 1, 3, 3), "channel") == 0
    assert qdq.scale_axis(layer("conv2d", 16, 8, 3, 3), "tensor") is None
    assert qdq.scale_axis(layer("matmul_v2", 8, 24), "channel") is None


@saturating
def test_int8_runs_in_int8_and_gives_what_the_simulation_gives(outcomes: dict[str, Any]) -> None:
    found = outcomes["both"]
    assert found["types"] == {"c": "int8", "d": "int8"}
    assert largest(found["int8"], found["simulation"]) < 1 / 127
    assert largest(found["int8"], found["fp32"]) > 1e-4


def test_an_excluded_layer_runs_in_float_and_its_neighbour_in_int8(outcomes: dict[str, Any]) -> None:
    assert outcomes["one excluded"]["types"] == {"c": "int8", "d": "fp32"}


def test_weights_alone_in_integers_run_as_the_rounded_weights_do_in_float(outcomes: dict[str, Any]) -> None:
    found = outcomes["weights only"]
    assert found["types"] == {}
    assert np.array(found["weights"]["c.w_0"]).dtype == np.int64
    assert largest(found["int8"], found["simulation"]) < 1e-5
    x, weights = programs.noise((-1, 8, -1, -1)), PAIR[1]
    hidden = np.maximum(convolved(x, rounded(weights["c.w_0"], 0)) + bias(weights["c.b_0"]), 0)
    want = convolved(hidden, rounded(weights["d.w_0"], 0)) + bias(weights["d.b_0"])
    assert largest(found["int8"], want) < 1e-5


def convolved(x: np.ndarray[Any, Any], weight: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, weight)


def bias(values: Any) -> np.ndarray[Any, Any]:
    return np.reshape(values, (1, -1, 1, 1))


def test_a_tensor_that_two_layers_read_is_quantized_once(outcomes: dict[str, Any]) -> None:
    found = outcomes["fork"]
    assert [line.split()[0] for line in found["ops"]].count("quantize_linear") == 1
    assert sum("x.dequantized" in line.split("->")[0] for line in found["ops"]) == 2
    assert found["types"] == {"c": "int8", "d": "int8"}


def test_a_bias_that_correction_added_is_fused_into_the_convolution(outcomes: dict[str, Any]) -> None:
    assert "c.b_0" in outcomes["corrected"]["weights"]
    assert outcomes["corrected"]["types"] == {"c": "int8"}
    assert outcomes["corrected"]["others"] == []


@saturating
@pytest.mark.parametrize("name", ["product", "square"])
def test_a_product_in_int8_is_the_product_of_the_integers(outcomes: dict[str, Any], name: str) -> None:
    weights = CASES[name][1]["program"]["weights"]
    # oneDNN uses the integer -128 too, where an activation is below its threshold.
    x = np.clip(np.rint(programs.noise((-1, -1, 8)) / 2 * 127), -128, 127) * 2 / 127
    want = x @ rounded(weights["c.w_0"], None) + np.array(weights["c.b_0"])
    assert outcomes[name]["types"] == {"c": "int8"}
    assert largest(outcomes[name]["int8"], want) < 1e-5


def test_the_program_is_what_paddles_own_passes_make(outcomes: dict[str, Any]) -> None:
    ours, paddles = outcomes["both"], outcomes["paddle"]
    # Saving a program by Paddle puts a `scale` by 1 before each output.
    kinds = [Counter(line.split()[0] for line in found["ops"]) for found in (ours, paddles)]
    assert kinds[0] == kinds[1] - Counter({"scale": kinds[1]["scale"]})
    for name in ("c.w_0", "d.w_0"):
        assert ours["weights"][name] == np.array(paddles["weights"][name]).tolist()
        assert ours["weights"][f"{name}@scale"] == pytest.approx(paddles["weights"][f"{name}@scale"])
    assert ours["int8"] == paddles["int8"]
