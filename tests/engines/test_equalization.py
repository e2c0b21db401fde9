from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engines.rewrites import programs
from tests.engines.rewrites.programs import add, conv, op
from toolkit.child import Progress

FIRST = conv("x", "f.w_0", "a")
# Largest weights 4 and 0.25 before, 1 and 1 behind: the factors are 2 and 0.5.
UNEVEN = {"f.w_0": [[[[4]], [[0]]], [[[0]], [[0.25]]]], "s.w_0": [[[[1]], [[1]]]]}


def case(
    ops: Sequence[Any],
    weights: Mapping[str, Any],
    outputs: Sequence[str] = ("y",),
    channels: int = 2,
) -> tuple[str, dict[str, Any]]:
    shape = [-1, channels, -1, -1]
    program = {"ops": list(ops), "weights": dict(weights), "outputs": list(outputs), "shape": shape}
    return "tests.engines.test_equalization:equalized", {"program": program}


def between(*ops: Any) -> tuple[str, dict[str, Any]]:
    """The uneven pair with `ops` between, from `a` to `b`."""
    return case([FIRST, *ops, conv("b", "s.w_0", "y")], {**UNEVEN, "slope": [0.25]})


def equalized(program: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In the child: pairs, weights, the largest change of an output, and outputs for ones with one scale a weight."""
    del progress
    from toolkit.engines import equalization, layers, model, qdq
    from toolkit.engines import graph as graphs
    from toolkit.engines.options import PredictorOptions

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs.write(folder, **program)
        graph = graphs.read(model.files_in(folder))
        noise = programs.noise(program["shape"])

        def run(changed: graphs.Graph, feed: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
            changed.write(folder)
            return model.load(folder, PredictorOptions())({"x": feed})

        def rounded(changed: graphs.Graph) -> float:
            for layer in layers.layers_of(changed):
                qdq.quantize_weight(changed, layer, "tensor")
            return float(next(iter(run(changed, np.ones_like(noise)).values())).flat[0])

        before, poor = run(graph, noise), rounded(graph.copy())
        pairs = equalization.equalize(graph)
        return {
            "pairs": [[pair.first, pair.second, list(pair.tensors), pair.factors.tolist()] for pair in pairs],
            "weights": {name: array.ravel().tolist() for name, array in graph.weights.items()},
            "again": len(equalization.equalize(graph.copy())),
            "difference": programs.difference(before, run(graph, noise)),
            "rounded": [poor, rounded(graph)],
        }


CASES = {
    "plain": case([conv("x", "f.w_0", "b"), conv("b", "s.w_0", "y")], UNEVEN),
    "bias and relu": case(
        [FIRST, add("a", "f.b_0", "r", 1), op("relu", {"X": "r"}, "b"), conv("b", "s.w_0", "y")],
        {**UNEVEN, "f.b_0": [8, 1]},
    ),
    "leaky": between(op("leaky_relu", {"X": "a"}, "b", alpha=0.1)),
    "prelu": between(op("prelu", {"X": "a", "Alpha": "slope"}, "b", mode="all")),
    "pool": between(
        op("pool2d", {"X": "a"}, "b", pooling_type="avg", ksize=[2, 2], strides=[1, 1], paddings=[0, 0])
    ),
    "hard_swish": between(op("hard_swish", {"X": "a"}, "b")),
    "swish": between(op("swish", {"X": "a"}, "b", beta=1.0)),
    "sigmoid": between(op("sigmoid", {"X": "a"}, "b")),
    "relu6": between(op("relu6", {"X": "a"}, "b", threshold=6.0)),
    "two readers": case(
        [FIRST, conv("a", "s.w_0", "y"), op("relu", {"X": "a"}, "z")], UNEVEN, outputs=("y", "z")
    ),
    "an output": case([FIRST, conv("a", "s.w_0", "y")], UNEVEN, outputs=("y", "a")),
    "shared weight": case(
        [FIRST, conv("a", "s.w_0", "b"), conv("b", "t.w_0", "c"), conv("c", "s.w_0", "y")],
        {**UNEVEN, "t.w_0": [[[[1]]], [[[1]]]]},
    ),
    "shared bias": case(
        [FIRST, add("a", "f.b_0", "b", 1), conv("b", "s.w_0", "c"), add("x", "f.b_0", "z", 1)],
        {**UNEVEN, "f.b_0": [8, 1]},
        outputs=("c", "z"),
    ),
    "triple": case(
        [FIRST, conv("a", "d.w_0", "b", "depthwise_conv2d", groups=2), conv("b", "s.w_0", "y")],
        {"f.w_0": [[[[8]], [[0]]], [[[0]], [[27]]]], "d.w_0": [[[[1]]], [[[1]]]], "s.w_0": [[[[1]], [[1]]]]},
    ),
    "groups": case(
        [FIRST, conv("a", "s.w_0", "y", groups=2)],
        {
            "f.w_0": (np.eye(4) * [1, 4, 16, 64]).reshape(4, 4, 1, 1).tolist(),
            "s.w_0": [[[[1]], [[1]]], [[[1]], [[4]]]],
        },
        channels=4,
    ),
    "dead": case(
        [FIRST, conv("a", "s.w_0", "y")],
        {"f.w_0": [[[[4]], [[1]]], [[[0]], [[0]]]], "s.w_0": [[[[1]], [[1]]]]},
    ),
    "all but dead": case(
        [FIRST, conv("a", "s.w_0", "y")],
        {"f.w_0": [[[[4]], [[1]]], [[[1e-8]], [[0]]]], "s.w_0": [[[[1]], [[1]]]]},
    ),
    # Each weight has one large and one small value, which one scale makes 0: nothing passes.
    "planted": case(
        [FIRST, conv("a", "s.w_0", "y")],
        {"f.w_0": [[[[127]]], [[[0.3]]]], "s.w_0": [[[[0.3]], [[127]]]]},
        channels=1,
    ),
}
HOMOGENEOUS = ("plain", "bias and relu", "leaky", "prelu", "pool")


@pytest.mark.parametrize("name", HOMOGENEOUS)
def test_both_layers_get_the_geometric_mean_of_their_ranges(outcomes: dict[str, Any], name: str) -> None:
    found = outcomes[name]
    assert [pair[:2] + pair[3:] for pair in found["pairs"]] == [["f", "s", pytest.approx([2, 0.5])]]
    assert found["weights"]["f.w_0"] == pytest.approx([2, 0, 0, 0.5])
    assert found["weights"]["s.w_0"] == pytest.approx([2, 0.5])
    assert found["again"] == 0


@pytest.mark.parametrize("name", CASES)
def test_the_outputs_stay_what_they_were(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name]["difference"] < 1e-6


def test_the_bias_follows_and_the_tensors_between_are_named(outcomes: dict[str, Any]) -> None:
    found = outcomes["bias and relu"]
    assert found["weights"]["f.b_0"] == pytest.approx([4, 2])
    assert found["pairs"][0][2] == ["a", "r", "b"]


@pytest.mark.parametrize(
    "name", ["hard_swish", "swish", "sigmoid", "relu6", "two readers", "an output", "shared bias"]
)
def test_what_is_not_homogeneous_or_has_other_readers_is_left_alone(
    outcomes: dict[str, Any], name: str
) -> None:
    assert outcomes[name]["pairs"] == []
    assert outcomes[name]["weights"]["f.w_0"] == [4, 0, 0, 0.25]


def test_a_weight_that_two_layers_read_is_left_alone(outcomes: dict[str, Any]) -> None:
    assert outcomes["shared weight"]["weights"]["s.w_0"] == [1, 1]


def test_a_depthwise_layer_in_the_middle_shares_with_both_neighbours(outcomes: dict[str, Any]) -> None:
    # 8 * 1 * 1 and 27 * 1 * 1 in three equal parts.
    found = outcomes["triple"]
    assert [pair[:2] for pair in found["pairs"]] == [["f", "d"], ["d", "s"]]
    assert found["weights"]["d.w_0"] == pytest.approx([2, 3], rel=0.02)
    assert found["weights"]["s.w_0"] == pytest.approx([2, 3], rel=0.02)


def test_groups_read_their_own_channels(outcomes: dict[str, Any]) -> None:
    # Behind: 1, 1 for the first group, 1, 4 for the second. sqrt(r1 / r2).
    assert outcomes["groups"]["pairs"][0][3] == pytest.approx([1, 2, 4, 4])


def test_a_channel_of_zeros_keeps_its_scale_and_one_near_zero_is_not_blown_up(
    outcomes: dict[str, Any],
) -> None:
    assert outcomes["dead"]["pairs"][0][3] == pytest.approx([2, 1])
    assert outcomes["all but dead"]["pairs"][0][3] == pytest.approx([2, 0.01])


def test_a_planted_imbalance_costs_the_whole_output_before_and_nothing_after(
    outcomes: dict[str, Any],
) -> None:
    # 127 * 0.3 + 0.3 * 127.
    assert outcomes["planted"]["rounded"] == [0, pytest.approx(76.2, rel=1e-6)]
