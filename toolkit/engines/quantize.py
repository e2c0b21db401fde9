"""An INT8 model from the FP32 model, its statistics and a recipe; takes seconds, so that many can be tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit.child import Progress
from toolkit.engines import correction, graph, layers, model, qdq, signature
from toolkit.engines.graph import Graph
from toolkit.engines.layers import PRODUCTS, Layer
from toolkit.errors import ModelError, SpecError
from toolkit.quantization import scales
from toolkit.quantization import statistics as statistics_file
from toolkit.quantization.recipe import Recipe
from toolkit.quantization.statistics import TensorStatistics

Statistics = Mapping[str, TensorStatistics]

# Of a model's layers, in the error on one that it does not have.
_NAMES_SHOWN = 4


def quantize(
    source: str, statistics: str, recipe: Mapping[str, Any], target: str, progress: Progress
) -> dict[str, Any]:
    """Write the INT8 model that `recipe` makes of the model in `source` to the directory `target`.

    Args:
        source: directory of the FP32 model; equalized, if the recipe says so.
        statistics: file of its activations' statistics.

    Returns:
        `bytes`, `parameters` (bytes of the weights file), and for each layer its `name`, `kind`, `int8`, and its
        `activations` with `tensor`, `threshold`, `zero_point`, `clipped` (share) and expected `sqnr_db`.

    Raises:
        ModelError: nothing is left to quantize.
        SpecError: a layer that is to stay in float is none of the model's.
    """
    progress(0, 1)
    wanted, known = Recipe.from_json(recipe), statistics_file.load(Path(statistics))
    program = graph.read(model.files_in(Path(source)))
    _check_names(layers.layers_of(program), wanted)
    if wanted.bias_correction:
        _correct(program, known, wanted)
    found = layers.layers_of(program)
    chosen = {layer.name for layer in found if _runs_int8(layer, wanted, known)}
    if not chosen:
        raise ModelError(
            f"there is nothing to quantize: the model has no layer of {', '.join(wanted.kinds)} outside `skip`",
            where=source,
            remedy="name the kinds of layers that this model has under `quantize.kinds` in the pipeline spec",
        )
    thresholds = {
        name: scales.threshold(known[name], wanted.algorithm, wanted.percent)
        for layer in found
        if layer.name in chosen
        for name in layer.activations
    }
    _insert(program, found, chosen, thresholds, wanted)
    files = model.files_in(Path(target))
    program.write(Path(target))
    signature.read(Path(source)).write(Path(target))
    progress(1, 1)
    return {
        "bytes": files.size,
        "parameters": files.params.stat().st_size,
        "layers": [_described(layer, layer.name in chosen, thresholds, known) for layer in found],
    }


def _check_names(found: Sequence[Layer], recipe: Recipe) -> None:
    """A misspelt name would come to nothing with every candidate, so it is the spec's error and not a candidate's."""
    names = [layer.name for layer in found]
    unknown = sorted(set(recipe.exclude) - set(names))
    if unknown:
        shown = ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
        raise SpecError(
            f"the model has no layer {unknown[0]!r}",
            where="quantize.skip",
            remedy=f"name layers as the report lists them: {shown}",
        )


def _runs_int8(layer: Layer, recipe: Recipe, known: Statistics) -> bool:
    """Products of two activations stay in float: they are a thousandth of the work, and both factors would lose."""
    return (
        layer.weight is not None
        and layer.kind in recipe.kinds
        and layer.kind not in qdq.FLOAT_ONLY
        and layer.name not in recipe.exclude
        and all(name in known for name in layer.activations)
    )


def _correct(program: Graph, known: Statistics, recipe: Recipe) -> None:
    """Every layer whose weight is rounded, also where only its storage is."""
    for layer in layers.layers_of(program):
        rounded = _runs_int8(layer, recipe, known) or layer.kind in PRODUCTS
        if rounded and layer.activations and layer.activations[0] in known:
            channels = known[layer.activations[0]].channels
            means = channels.mean if channels is not None else None
            correction.correct(program, layer, means, recipe.weights)


def _insert(
    program: Graph,
    found: Sequence[Layer],
    chosen: set[str],
    thresholds: Mapping[str, float],
    recipe: Recipe,
) -> None:
    for layer in found:
        if layer.name in chosen:
            for name in layer.activations:
                qdq.quantize_activation(program, layer, name, thresholds[name])
            qdq.quantize_weight(program, layer, recipe.weights)
            continue
        qdq.keep_float(program, layer)
        if layer.kind in PRODUCTS:
            # Matrices hold much of a model's size, and rounding the weights alone costs them little.
            qdq.quantize_weight(program, layer, recipe.weights)


def _described(
    layer: Layer, int8: bool, thresholds: Mapping[str, float], known: Statistics
) -> dict[str, Any]:
    activations = [
        {
            "tensor": name,
            "threshold": thresholds[name],
            "zero_point": 0,
            "clipped": scales.clipped_share(known[name], thresholds[name]),
            "sqnr_db": round(min(scales.signal_to_noise(known[name], thresholds[name]), 200.0), 2),
        }
        for name in layer.activations
        if int8
    ]
    return {"name": layer.name, "kind": layer.kind, "int8": int8, "activations": activations}
