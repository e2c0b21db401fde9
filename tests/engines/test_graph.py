from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engines.rewrites import programs
from tests.engines.rewrites.programs import add, conv, op
from tests.engines.test_export import shipped
from tests.jobs import attempt_all
from toolkit.child import Progress
from toolkit.errors import ModelError

PROGRAM: dict[str, Any] = {
    "ops": [
        conv("x", "c.w_0", "a"),
        add("a", "c.b_0", "b", 1),
        op("relu", {"X": "b"}, "r"),
        op("tanh", {"X": "b"}, "unused"),
        conv("r", "c.w_0", "d"),
        conv("d", "p.w_0", "e", "depthwise_conv2d", groups=2),
        op("matmul_v2", {"X": "e", "Y": "r"}, "f", trans_y=True),
        op("matmul_v2", {"X": "f", "Y": "l.w_0"}, "y"),
    ],
    "weights": {
        "c.w_0": [[[[1]], [[2]]], [[[3]], [[4]]]],
        "c.b_0": [5, 6],
        "p.w_0": [[[[1]]], [[[2]]]],
        "l.w_0": [[1, 2, 3]] * 5,
    },
    "outputs": ["y", "r"],
    "shape": [-1, 2, 5, 6],
}
HALF = np.array([1.5, -2.5], np.float16)


def look(directory: str, progress: Progress) -> dict[str, Any]:
    """In the child: what a graph says of the program."""
    del progress
    from toolkit.engines import graph as graphs
    from toolkit.engines import layers, model

    programs.write(Path(directory), **PROGRAM)
    graph = graphs.read(model.files_in(Path(directory)))
    found = layers.layers_of(graph)
    relu = graph.producer("r")
    convolution = graph.producer("a")
    return {
        "inputs": graph.inputs,
        "outputs": graph.outputs,
        "shape": graph.shape("a"),
        "types": [relu.type, convolution.type],
        "consumers": [item.type for item in graph.consumers("r")],
        "private": [name for name in ("a", "b", "r", "d", "c.w_0", "c.b_0") if graph.is_private(name)],
        "attributes": [
            graphs.attribute(convolution, name, "none") for name in ("strides", "groups", "bogus")
        ],
        "fresh": [graph.fresh_name("c.b_0"), graph.fresh_name("c.b_1")],
        "layers": [[layer.name, layer.kind, list(layer.activations), layer.weight] for layer in found],
        "calibrated": layers.activations_of(found),
        "weights": {name: array.tolist() for name, array in graph.weights.items()},
    }


def change(directory: str, target: str, progress: Progress) -> dict[str, Any]:
    """In the child: a copy that is changed, written and read again."""
    del progress
    from toolkit.engines import graph as graphs
    from toolkit.engines import model

    programs.write(Path(directory), **PROGRAM)
    graph = graphs.read(model.files_in(Path(directory)))
    copy = graph.copy()
    relu = copy.producer("r")
    copy.add_weight("half", HALF)
    copy.add_weight("c.b_0", np.array([7, 8], np.float32))
    name = copy.add_variable("other", "r")
    new = graphs.make_op(
        "scale", {"X": ["b"]}, {"Out": [name]}, {"scale": 0.5, "bias": 1.0, "bias_after_scale": True}
    )
    copy.insert_after(relu, new)
    copy.redirect("r", name)
    graphs.set_attribute(copy.producer("a"), "paddings", [1, 2])
    copy.add_outputs(["d"])
    unpruned = "half" in copy.weights
    copy.prune()
    Path(target).mkdir()
    copy.write(Path(target))
    again = graphs.read(model.files_in(Path(target)))
    return {
        "original": programs.describe(graph),
        "original bias": graph.weights["c.b_0"].tolist(),
        "ops": programs.describe(again),
        "outputs": again.outputs,
        "weights": sorted(again.weights),
        "bias": again.weights["c.b_0"].tolist(),
        "unpruned": unpruned,
        "paddings": graphs.attribute(again.producer("a"), "paddings"),
        "declared": sorted(item.name for item in again.description.blocks[0].vars),
    }


def pass_through(source: str, target: str, progress: Progress) -> dict[str, Any]:
    """In the child: read a model and write it again, twice."""
    del progress
    from toolkit.engines import files, graph, model

    first = Path(target, "first")
    second = Path(target, "second")
    found = files.find(Path(source))
    for directory, origin in ((first, found), (second, model.files_in(first))):
        directory.mkdir(parents=True)
        graph.read(origin).write(directory)
    return {
        "weights are the same": model.files_in(first).params.read_bytes() == found.params.read_bytes(),
        "written the same again": model.files_in(first).model.read_bytes()
        == model.files_in(second).model.read_bytes(),
        "smaller": model.files_in(first).model.stat().st_size < found.model.stat().st_size,
    }


def store(path: str, progress: Progress) -> dict[str, Any]:
    """In the child: tensors of every kind through a weights file."""
    del progress
    from toolkit.engines import weights

    kinds = ("bool", "int8", "uint8", "int16", "float16", "uint16", "int32", "float32", "int64", "float64")
    arrays = {kind: np.arange(6).reshape(2, 3).astype(kind) for kind in kinds}
    arrays |= {"scalar": np.array(2.5, np.float32), "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T}
    weights.write(Path(path), arrays)
    back = weights.read(Path(path), list(arrays))
    return {
        name: [str(back[name].dtype), list(back[name].shape), bool((back[name] == array).all())]
        for name, array in arrays.items()
    }


def cut(source: str, target: str, progress: Progress) -> None:
    """In the child: read a model whose weights end early."""
    del progress
    from toolkit.engines import files, graph
    from toolkit.engines.files import ModelFiles

    found = files.find(Path(source))
    Path(target).write_bytes(found.params.read_bytes()[:-1])
    graph.read(ModelFiles(found.model, Path(target)))


def damage(target: str, progress: Progress) -> None:
    """In the child: read a program that is none."""
    del progress
    from toolkit.engines import graph
    from toolkit.engines.files import ModelFiles

    Path(target).write_bytes(b"<html>404 not found</html>")
    graph.read(ModelFiles(Path(target), Path(target)))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("graph")
    classifier = str(shipped("ch_ppocr_mobile_v2_cls_infer"))
    for name in ("look", "change"):
        (folder / name).mkdir()
    jobs: dict[str, dict[str, str]] = {
        "look": {"directory": str(folder / "look")},
        "change": {"directory": str(folder / "change"), "target": str(folder / "changed")},
        "pass_through": {"source": classifier, "target": str(folder)},
        "store": {"path": str(folder / "weights")},
        "cut": {"source": classifier, "target": str(folder / "cut.pdiparams")},
        "damage": {"target": str(folder / "damaged.pdmodel")},
    }
    calls: list[tuple[str, dict[str, Any]]] = [
        (f"tests.engines.test_graph:{name}", dict(arguments)) for name, arguments in jobs.items()
    ]
    return dict(zip(jobs, attempt_all(calls, folder / "log")))


def test_a_graph_knows_what_goes_in_and_out(outcomes: dict[str, Any]) -> None:
    assert outcomes["look"]["inputs"] == ["x"]
    assert outcomes["look"]["outputs"] == ["y", "r", "anchored"]
    assert outcomes["look"]["shape"] == [-1, 2, 5, 6]
    assert outcomes["look"]["weights"] == {**PROGRAM["weights"], "anchor": [1]}


def test_a_graph_knows_who_makes_and_who_reads_a_tensor(outcomes: dict[str, Any]) -> None:
    assert outcomes["look"]["types"] == ["relu", "conv2d"]
    assert outcomes["look"]["consumers"] == ["conv2d", "matmul_v2", "fetch"]


def test_private_is_what_one_operator_reads_and_nobody_fetches(outcomes: dict[str, Any]) -> None:
    assert outcomes["look"]["private"] == ["a", "d", "c.b_0"]


def test_attributes_come_as_python_values(outcomes: dict[str, Any]) -> None:
    assert outcomes["look"]["attributes"] == [[1, 1], 1, "none"]


def test_a_fresh_name_is_nobodys(outcomes: dict[str, Any]) -> None:
    assert outcomes["look"]["fresh"] == ["c.b_0_1", "c.b_1"]


def test_layers_have_distinct_names_even_with_one_weight_or_none(outcomes: dict[str, Any]) -> None:
    assert outcomes["look"]["layers"] == [
        ["c", "conv2d", ["x"], "c.w_0"],
        ["d", "conv2d", ["r"], "c.w_0"],
        ["p", "depthwise_conv2d", ["d"], "p.w_0"],
        ["f", "matmul_v2", ["e", "r"], None],
        ["l", "matmul_v2", ["f"], "l.w_0"],
    ]


def test_each_activation_is_calibrated_once(outcomes: dict[str, Any]) -> None:
    assert sorted(outcomes["look"]["calibrated"]) == ["d", "e", "f", "r", "x"]
    assert outcomes["look"]["calibrated"]["d"] == 1
    assert outcomes["look"]["calibrated"]["f"] == -1


def test_what_a_convolution_and_a_product_read_has_no_axis_of_channels(outcomes: dict[str, Any]) -> None:
    assert outcomes["look"]["calibrated"]["r"] is None


def test_a_changed_copy_is_what_is_written(outcomes: dict[str, Any]) -> None:
    result = outcomes["change"]
    assert "scale b*0.5+1 -> other" in result["ops"]
    assert "conv2d c.w_0, other -> d" in result["ops"]
    # Outputs follow what the tensor is called now.
    assert result["outputs"] == ["y", "other", "anchored", "d"]
    assert result["bias"] == [7, 8]
    assert result["paddings"] == [1, 2]


def test_the_original_stays_as_it_was(outcomes: dict[str, Any]) -> None:
    assert "conv2d c.w_0, r -> d" in outcomes["change"]["original"]
    assert outcomes["change"]["original bias"] == [5, 6]


def test_pruning_takes_what_no_output_needs(outcomes: dict[str, Any]) -> None:
    result = outcomes["change"]
    assert result["unpruned"]
    assert not any(text.startswith(("tanh", "relu")) for text in result["ops"])
    assert result["weights"] == ["anchor", "c.b_0", "c.w_0", "l.w_0", "p.w_0"]
    assert not {"half", "r", "unused"} & set(result["declared"])


def test_a_model_passes_through_unchanged_but_for_debug_information(outcomes: dict[str, Any]) -> None:
    assert all(outcomes["pass_through"].values()), outcomes["pass_through"]


def test_weights_of_every_type_come_back(outcomes: dict[str, Any]) -> None:
    for name, (dtype, shape, same) in outcomes["store"].items():
        assert same, name
        assert dtype == (name if name not in ("scalar", "turned") else "float32")
        assert shape == {"scalar": [], "turned": [3, 2]}.get(name, [2, 3])


def test_damaged_files_are_named(outcomes: dict[str, Any]) -> None:
    for name, message in (("cut", "at the parameter"), ("damage", "the program file is damaged")):
        assert isinstance(outcomes[name], ModelError)
        assert message in outcomes[name].message
        assert Path(str(outcomes[name].where)).stem in ("cut", "damaged")
