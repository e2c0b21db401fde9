from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest

from tests.engines.rewrites import programs
from tests.engines.rewrites.programs import add, conv, op
from toolkit.child import Progress

PRODUCT = op("matmul_v2", {"X": "x", "Y": "l.w_0"}, "a")
# By channel the steps are 1 and 0.1: 0.4 becomes 0, 0.14 becomes 0.1.
DENSE = [[[[127]], [[0.4]]], [[[12.7]], [[0.14]]]]
BIASED = [conv("x", "c.w_0", "a"), add("a", "c.b_0", "y", 1)]


def case(
    ops: Sequence[Any],
    weights: Mapping[str, Any],
    means: Optional[Sequence[float]] = None,
    granularity: str = "channel",
    outputs: Sequence[str] = ("y",),
    shape: Sequence[int] = (-1, 2, -1, -1),
) -> tuple[str, dict[str, Any]]:
    program = {"ops": list(ops), "weights": dict(weights), "outputs": list(outputs), "shape": list(shape)}
    arguments = {"program": program, "means": means, "granularity": granularity}
    return "tests.engines.test_correction:corrected", arguments


def corrected(
    program: dict[str, Any], means: Optional[Sequence[float]], granularity: str, progress: Progress
) -> dict[str, Any]:
    """In the child: what correcting the first layer makes of a program.

    Args:
        means: of the input's channels; None: those of the input that the program is run with.

    Returns:
        What `correct` said, operators, parameters, and the channel means of the first output: in FP32, and with the
        rounded weight without and with correction.
    """
    del progress
    from toolkit.engines import correction, layers, model, qdq
    from toolkit.engines import graph as graphs
    from toolkit.engines.options import PredictorOptions

    feed = programs.noise(program["shape"]) + 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs.write(folder, **program)
        graph = graphs.read(model.files_in(folder))

        def output_means() -> list[float]:
            output = next(iter(model.load(folder, PredictorOptions())({"x": feed}).values()))
            return np.moveaxis(output, 1, 0).reshape(output.shape[1], -1).mean(axis=1).tolist()

        def round_weights(changed: graphs.Graph) -> list[float]:
            for layer in layers.layers_of(changed):
                qdq.quantize_weight(changed, layer, granularity)
            changed.write(folder)
            return output_means()

        exact, rounded = output_means(), round_weights(graph.copy())
        measured = feed.astype(np.float64).mean(axis=(0, 2, 3)) if means is None else np.array(means)
        layer = layers.layers_of(graph)[0]
        return {
            "done": correction.correct(graph, layer, measured, granularity),
            "ops": programs.describe(graph),
            "weights": {name: array.tolist() for name, array in graph.weights.items()},
            "exact": exact,
            "rounded": rounded,
            "corrected": round_weights(graph),
        }


CASES = {
    "by channel": case(BIASED, {"c.w_0": DENSE, "c.b_0": [1, 1]}, [3, 5]),
    "one scale": case(BIASED, {"c.w_0": DENSE, "c.b_0": [1, 1]}, [3, 5], "tensor"),
    "depthwise": case(
        [conv("x", "c.w_0", "a", "depthwise_conv2d", groups=2), add("a", "c.b_0", "y", 1)],
        {"c.w_0": [[[[127, 0.4]]], [[[127, 1.4]]]], "c.b_0": [0, 0]},
        [3, 5],
    ),
    "groups": case(
        [conv("x", "c.w_0", "a", groups=2), add("a", "c.b_0", "y", 1)],
        {"c.w_0": [[[[127]], [[0.4]]], [[[127]], [[0.4]]]], "c.b_0": [0, 0]},
        [1, 2, 3, 4],
        shape=(-1, 4, -1, -1),
    ),
    "product": case(
        [PRODUCT, add("a", "l.b_0", "y", 2)],
        {"l.w_0": [[127, 0.4], [0.3, 126.6]], "l.b_0": [1, 1]},
        [10, 20],
        shape=(-1, 3, 2),
    ),
    "no bias": case(
        [conv("x", "c.w_0", "a"), op("relu", {"X": "a"}, "y"), op("sigmoid", {"X": "a"}, "z")],
        {"c.w_0": DENSE},
        [3, 5],
        outputs=("y", "z"),
    ),
    "measured": case(BIASED, {"c.w_0": DENSE, "c.b_0": [1, 1]}, None, "tensor"),
    "shared weight": case(
        [conv("x", "c.w_0", "a"), conv("a", "c.w_0", "y")], {"c.w_0": DENSE}, [3, 5], "channel"
    ),
    "shared bias": case(
        [*BIASED[:1], add("a", "c.b_0", "b", 1), add("b", "c.b_0", "y", 1)],
        {"c.w_0": DENSE, "c.b_0": [1, 1]},
        [3, 5],
    ),
    "transposed": case([conv("x", "c.w_0", "y", "conv2d_transpose")], {"c.w_0": DENSE}, [3, 5]),
    "other means": case(BIASED, {"c.w_0": DENSE, "c.b_0": [1, 1]}, [3, 5, 7]),
}


@pytest.mark.parametrize(
    ("name", "bias"),
    [
        # -0.4 * 5 and -0.04 * 5 are taken off 1.
        ("by channel", [3, 1.2]),
        # Steps of 1: 12.7 becomes 13 and 0.14 becomes 0, so 0.3 * 3 - 0.14 * 5 = 0.2.
        ("one scale", [3, 0.8]),
        # Each output reads its own channel, whose rounding errors add up to -0.4.
        ("depthwise", [1.2, 2.0]),
        # The second group's small weight reads the fourth channel.
        ("groups", [0.8, 1.6]),
    ],
)
def test_the_error_of_the_mean_goes_off_the_bias(
    outcomes: dict[str, Any], name: str, bias: list[float]
) -> None:
    assert outcomes[name]["done"] is True
    assert outcomes[name]["weights"]["c.b_0"] == pytest.approx(bias, abs=1e-5)


def test_the_bias_of_a_product_takes_one_value_for_each_column(outcomes: dict[str, Any]) -> None:
    # Errors [[0, -0.4], [-0.3, 0.4]]: -0.3 * 20 and -0.4 * 10 + 0.4 * 20.
    assert outcomes["product"]["weights"]["l.b_0"] == pytest.approx([7, -3], abs=1e-4)


def test_a_layer_without_bias_gets_one_and_all_its_readers_see_it(outcomes: dict[str, Any]) -> None:
    found = outcomes["no bias"]
    assert found["ops"] == [
        "conv2d c.w_0, x -> a.unbiased",
        "elementwise_add a.unbiased, c.b_0 -> a",
        "relu a -> y",
        "sigmoid a -> z",
    ]
    assert found["weights"]["c.b_0"] == pytest.approx([2, 0.2], abs=1e-5)


def test_with_the_means_of_the_data_the_outputs_have_the_means_of_fp32(outcomes: dict[str, Any]) -> None:
    found = outcomes["measured"]
    assert np.abs(np.subtract(found["rounded"], found["exact"])).min() > 0.1
    assert found["corrected"] == pytest.approx(found["exact"], rel=1e-5)


@pytest.mark.parametrize("name", ["shared weight", "transposed"])
def test_weights_of_two_layers_and_weights_that_stay_in_float_are_left_alone(
    outcomes: dict[str, Any], name: str
) -> None:
    assert outcomes[name]["done"] is False
    assert not [op for op in outcomes[name]["ops"] if "elementwise_add" in op]


def test_who_else_reads_the_bias_reads_it_unchanged(outcomes: dict[str, Any]) -> None:
    assert outcomes["shared bias"]["ops"][1:] == [
        "elementwise_add a, c.b_0_1 -> b",
        "elementwise_add b, c.b_0 -> y",
    ]
    assert outcomes["shared bias"]["weights"]["c.b_0"] == [1, 1]


def test_without_a_mean_for_each_channel_nothing_is_corrected(outcomes: dict[str, Any]) -> None:
    assert outcomes["other means"]["done"] is False
    assert outcomes["other means"]["weights"]["c.b_0"] == [1, 1]
