from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.engines.rewrites import programs
from tests.engines.rewrites.programs import add, conv, mul, op
from tests.engines.test_export import shipped
from tests.jobs import ENVIRONMENT, attempt_all
from toolkit import child
from toolkit.child import Progress
from toolkit.engines import optimize, signature
from toolkit.errors import DataError, ModelError

# An affine block before a layer that pads: the first pair folds, the second becomes one operator.
PROGRAM: dict[str, Any] = {
    "ops": [
        conv("x", "c.w_0", "a"), mul("s", "a", "b"), add("b", "o", "d"), op("relu", {"X": "d"}, "r"),
        mul("s", "r", "e"), add("e", "o", "f"), conv("f", "d.w_0", "y", paddings=[1, 1]),
    ],
    "weights": {
        "c.w_0": [[[[1]], [[2]]], [[[3]], [[4]]]], "d.w_0": [[[[1]], [[2]]], [[[3]], [[4]]]], "s": [3], "o": [7],
    },
    "outputs": ["y"],
    "shape": [-1, 2, -1, -1],
}  # fmt: skip
MODELS = {
    "detector": ("ch_PP-OCRv4_det_infer", [1, 3, 64, 96]),
    "recognizer": ("ch_PP-OCRv4_rec_infer", [2, 3, 48, 96]),
    "classifier": ("ch_ppocr_mobile_v2_cls_infer", [2, 3, 48, 192]),
}


def wrong(graph: Any) -> int:
    """A rewrite that forgets what a layer adds."""
    for item in [item for item in graph.ops if item.type == "elementwise_add"]:
        graph.remove(item)
        graph.redirect(item.outputs[0].arguments[0], item.inputs[0].arguments[0])
    return 1


def broken(graph: Any) -> int:
    """A rewrite that fails when half is done."""
    graph.remove(graph.ops[1])
    raise RuntimeError("no such thing")


def unloadable(graph: Any) -> int:
    """A rewrite after which the engine has nothing to run."""
    graph.redirect("x", "nobody")
    return 1


def slight(graph: Any) -> int:
    """A rewrite that changes a weight by a few parts in ten thousand."""
    graph.add_weight("d.w_0", graph.weights["d.w_0"] * np.float32(1.0003))
    return 1


def infinite(graph: Any) -> int:
    """A rewrite after which the answers are no numbers."""
    graph.add_weight("d.w_0", graph.weights["d.w_0"] * np.float32(np.inf))
    return 1


def attempts(directory: str, feed: str, progress: Progress) -> dict[str, Any]:
    """In the child: rewrites that have to be dropped, and the graph that is left after each."""
    del progress
    from toolkit.engines import graph as graphs
    from toolkit.engines import model

    graph = graphs.read(model.files_in(Path(directory)))
    check = optimize.Check(Path(directory), [feed])
    told = {}
    for planted in (wrong, broken, unloadable, slight, infinite):
        module: Any = SimpleNamespace(NAME=planted.__name__, apply=planted)
        left, outcome = optimize.attempt(graph, module, check)
        told[planted.__name__] = {
            "same": left is graph and programs.describe(left) == programs.describe(graph),
            "operators": len(left.ops),
            "count": outcome.count,
            "difference": outcome.difference,
            "refused": outcome.refused,
        }
    return told


def prepare(directory: str, feed: str, progress: Progress) -> None:
    """In the child: write the program as a model of ours, and an input."""
    del progress
    from toolkit.engines import model, program

    programs.write(Path(directory), **PROGRAM)
    place = model.files_in(Path(directory))
    program.signature(program.read(place.model)).write(Path(directory))
    np.savez(feed, x=programs.noise(PROGRAM["shape"]))


def optimize_shipped(
    directory: str, target: str, shape: list[int], text: bool, progress: Progress
) -> dict[str, Any]:
    """In the child: export a packaged model, and optimize it with an input that looks like a page.

    The check is as loose as it ever is: how much rounding differs on one input is a matter of the processor.
    """
    from toolkit.engines import export

    source, feed = Path(target) / "source", Path(target) / "feed.npz"
    for folder in (source, Path(target) / "optimized"):
        folder.mkdir(parents=True)
    export.from_directory(directory, None, None, str(source), {"image": shape}, ["answer"], progress)
    page = np.ones(shape, np.float32)
    page[..., 16:-16:8, 8:-8] = -1
    page[..., 12:-12, 8:-8:12] = -1 if text else 1
    np.savez(feed, image=page)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimize, "TOLERANCE", optimize.ROUNDING)
        return optimize.optimize(str(source), str(Path(target) / "optimized"), [str(feed)], progress)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("optimize")


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> dict[str, Any]:
    """The tiny program and the packaged models, optimized in one process."""
    source, target, feed = str(folder / "source"), str(folder / "target"), str(folder / "feed.npz")
    for path in (source, target, str(folder / "unchecked")):
        Path(path).mkdir()
    here, engine = "tests.engines.test_optimize", "toolkit.engines.optimize:optimize"
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "prepared": (f"{here}:prepare", {"directory": source, "feed": feed}),
        "attempts": (f"{here}:attempts", {"directory": source, "feed": feed}),
        "tiny": (engine, {"source": source, "target": target, "feeds": [feed, feed]}),
        "no feed": (engine, {"source": source, "target": str(folder / "unchecked"), "feeds": []}),
    }
    for name, (package, shape) in MODELS.items():
        arguments = {
            "directory": str(shipped(package)),
            "target": str(folder / name),
            "shape": shape,
            "text": True,
        }
        calls[name] = (f"{here}:optimize_shipped", arguments)
    return dict(zip(calls, attempt_all(list(calls.values()), folder / "log")))


def test_a_model_gets_fewer_operators_and_says_which_rewrites_did_it(outcomes: dict[str, Any]) -> None:
    result = outcomes["tiny"]
    assert result["before"] == {"operators": 8, "elementwise": 4}
    assert result["after"] == {"operators": 6, "elementwise": 1}
    taken = {item["name"]: item["count"] for item in result["rewrites"] if item["count"]}
    assert taken == {"affine": 1, "scale": 1}
    assert all(item["refused"] is None for item in result["rewrites"])
    assert all(item["difference"] < 1e-6 for item in result["rewrites"] if item["count"])


def test_the_optimized_model_is_a_model_of_ours(outcomes: dict[str, Any], folder: Path) -> None:
    assert signature.read(folder / "target") == signature.read(folder / "source")
    files = [folder / "target" / name for name in ("model.pdmodel", "model.pdiparams")]
    assert outcomes["tiny"]["bytes"] == sum(path.stat().st_size for path in files)
    assert json.loads(json.dumps(outcomes["tiny"], allow_nan=False)) == outcomes["tiny"]


def test_it_answers_as_the_original_does(outcomes: dict[str, Any], folder: Path) -> None:
    assert outcomes["tiny"]["after"]
    options = {"precision": "fp32", "backend": "native", "threads": 1, "cache_capacity": 1, "op_set": []}
    answers = []
    for name in ("source", "target"):
        arguments = {"model_dir": str(folder / name), "options": options, "feed": str(folder / "feed.npz")}
        answers.append(child.call("tests.jobs:infer", arguments, log=folder / "log", env=ENVIRONMENT)["y"])
    assert np.shape(answers[0]) == (2, 2, 7, 8)
    np.testing.assert_allclose(answers[1], answers[0], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("wrong", "an output changes by "),
        ("slight", "an output changes by 3.0e-04 of its largest value, 1.0e-05 is allowed"),
        ("infinite", "an output changes by inf"),
        ("broken", "RuntimeError: no such thing"),
        ("unloadable", "the program reads nobody before anything writes it"),
    ],
)
def test_a_rewrite_that_is_wrong_is_dropped_and_the_run_goes_on(
    outcomes: dict[str, Any], name: str, reason: str
) -> None:
    told = outcomes["attempts"][name]
    assert told["same"]
    assert told["operators"] == 11
    assert told["count"] == 0
    assert told["refused"].startswith(reason)


def test_without_an_input_nothing_is_rewritten(outcomes: dict[str, Any]) -> None:
    assert isinstance(outcomes["no feed"], DataError)
    assert "no input to check" in outcomes["no feed"].message


@pytest.mark.parametrize(
    ("name", "operators", "elementwise"),
    [
        ("detector", (310, 219), (125, 35)),
        ("recognizer", (321, 201), (120, 24)),
        ("classifier", (182, 181), (16, 16)),
    ],
)
def test_packaged_models_lose_their_element_wise_operations(
    outcomes: dict[str, Any], name: str, operators: tuple[int, int], elementwise: tuple[int, int]
) -> None:
    result = outcomes[name]
    assert not isinstance(result, ModelError), result
    assert [result[moment]["operators"] for moment in ("before", "after")] == list(operators)
    assert [result[moment]["elementwise"] for moment in ("before", "after")] == list(elementwise)
    assert [item["refused"] for item in result["rewrites"] if item["refused"]] == []
    assert all(item["difference"] <= result["tolerance"] for item in result["rewrites"] if item["count"])


def test_only_rounding_loosens_the_check(outcomes: dict[str, Any]) -> None:
    assert outcomes["tiny"]["tolerance"] == 1e-5


@pytest.mark.parametrize(
    ("reference", "output", "expected"),
    [
        ([1.0, -4.0], [1.0, -4.0], 0.0),
        ([1.0, -4.0], [1.5, -4.0], 0.125),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.0, 0.0], [0.0, 0.1], float("inf")),
        ([1.0, 2.0], [1.0, float("nan")], float("inf")),
        ([1.0, 2.0], [1.0], float("inf")),
        ([], [], 0.0),
    ],
)
def test_differences_are_relative_to_the_largest_value(
    reference: list[float], output: list[float], expected: float
) -> None:
    exact = {"exact": np.zeros(3), "y": np.array(reference)}
    assert optimize.difference(exact, {"exact": np.zeros(3), "y": np.array(output)}) == expected
