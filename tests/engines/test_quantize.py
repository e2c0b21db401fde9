from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.engines.rewrites import programs
from tests.engines.rewrites.programs import add, conv, op
from tests.jobs import attempt_all
from toolkit.child import Progress
from toolkit.errors import SpecError
from toolkit.quantization.recipe import Recipe

# By channel the steps are 1 and 0.1: rounding changes 0.4 and 0.14, so each layer has something to correct.
DENSE = [[[[127]], [[0.4]]], [[[12.7]], [[0.14]]]]
RECIPE = Recipe(algorithm="minmax", kinds=("conv2d",), bias_correction=True)


def program(width: int) -> dict[str, Any]:
    """A convolution and a product that read one tensor, and a convolution behind the first."""
    return {
        "ops": [
            conv("x", "c.w_0", "a"),
            add("a", "c.b_0", "b", 1),
            conv("b", "d.w_0", "e"),
            add("e", "d.b_0", "y", 1),
            op("matmul_v2", {"X": "x", "Y": "l.w_0"}, "z"),
        ],
        "weights": {
            "c.w_0": DENSE,
            "c.b_0": [1, 1],
            "d.w_0": DENSE,
            "d.b_0": [1, 1],
            "l.w_0": [[1, 0.3, 0.7]] * width,
        },
        "outputs": ["y", "z"],
        "shape": [-1, 2, 5, width],
    }


def quantized(directory: str, width: int, recipe: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In the child: calibrate `program(width)` and quantize it; biases before and after, and who runs in INT8."""
    from toolkit.engines import graph as graphs
    from toolkit.engines import model, quantize
    from toolkit.engines import program as programs_of
    from toolkit.engines.collect import Collector
    from toolkit.quantization import statistics

    source, scratch, target = (Path(directory, name) for name in ("source", "scratch", "target"))
    for place in (source, scratch, target):
        place.mkdir(parents=True)
    planted = program(width)
    programs.write(source, **planted)
    programs_of.signature(programs_of.read(model.files_in(source).model)).write(source)
    collector = Collector(source, scratch)
    collector.update({"x": programs.noise(planted["shape"]) + 2})
    statistics.save(collector.statistics, source / "statistics.npz")
    found = quantize.quantize(str(source), str(source / "statistics.npz"), recipe, str(target), progress)
    weights = graphs.read(model.files_in(target)).weights
    return {
        "int8": [layer["name"] for layer in found["layers"] if layer["int8"]],
        "biases": {name: weights[name].tolist() for name in ("c.b_0", "d.b_0")},
    }


def call(folder: Path, name: str, width: int, recipe: Recipe) -> tuple[str, dict[str, Any]]:
    arguments = {"directory": str(folder / name), "width": width, "recipe": recipe.to_json()}
    return f"{__name__}:quantized", arguments


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("quantize")
    calls = {
        "other sizes": call(folder, "other", 6, RECIPE),
        # As many columns as channels, so that the wrong means would fit.
        "equal sizes": call(folder, "equal", 2, RECIPE),
        "misspelt": call(folder, "misspelt", 6, RECIPE.excluding(("conv2d_99", "c"))),
    }
    return dict(zip(calls, attempt_all(list(calls.values()), folder / "log")))


@pytest.mark.parametrize("sizes", ["other sizes", "equal sizes"])
def test_a_layer_whose_input_a_product_reads_too_is_quantized_without_correction(
    outcomes: dict[str, Any], sizes: str
) -> None:
    found = outcomes[sizes]
    assert found["int8"] == ["c", "d"]
    assert found["biases"]["c.b_0"] == [1, 1]
    assert abs(found["biases"]["d.b_0"][0] - 1) > 0.1


def test_a_misspelt_layer_stops_the_run_and_says_which_there_are(outcomes: dict[str, Any]) -> None:
    error = outcomes["misspelt"]
    # Not a ModelError: that would only end one candidate after the other.
    assert isinstance(error, SpecError), error
    assert "no layer 'conv2d_99'" in error.message
    assert error.where == "quantize.skip"
    assert "c, d, l" in str(error.remedy)
