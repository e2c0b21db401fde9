"""How far each layer of a quantized model strays from the FP32 model; runs in a child process.

The quantized program runs as a simulation, in float between its quantizing operators, by Paddle's own kernels: what is
seen is what rounding and clipping do, whatever kernels the CPU has. The error of a layer holds what it inherits from
the layers before it.
"""

from __future__ import annotations

import math
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from toolkit.child import Progress
from toolkit.engines import graph as graphs
from toolkit.engines import layers, model
from toolkit.engines.graph import Graph
from toolkit.engines.layers import Layer
from toolkit.engines.options import PredictorOptions
from toolkit.engines.predictor import Predictor
from toolkit.errors import ModelError

Array = np.ndarray[Any, Any]


@dataclass
class Similarity:
    """Sums over all values of one tensor so far, in float64.

    Attributes:
        signal: of the squares of the reference.
        other: of the squares of what is compared with it.
        noise: of the squares of the difference.
        product: of the products.
    """

    signal: float = 0.0
    other: float = 0.0
    noise: float = 0.0
    product: float = 0.0

    def add(self, reference: Array, found: Array) -> None:
        """Take in two arrays of the same shape."""
        first, second = (array.ravel().astype(np.float64) for array in (reference, found))
        difference = first - second
        self.signal += float(first @ first)
        self.other += float(second @ second)
        self.noise += float(difference @ difference)
        self.product += float(first @ second)

    @property
    def sqnr_db(self) -> Optional[float]:
        """Signal-to-quantization-noise ratio, 10 log10(signal / noise), in dB.

        None where it is no number: without noise, without signal, or where a value was not finite.
        """
        if not (0 < self.signal < math.inf and 0 < self.noise < math.inf):
            return None
        return 10 * math.log10(self.signal / self.noise)

    @property
    def cosine(self) -> Optional[float]:
        """Cosine of the angle between the two, taken as vectors; None where one is all zero or not finite."""
        if not (0 < self.signal < math.inf and 0 < self.other < math.inf):
            return None
        return self.product / (math.sqrt(self.signal) * math.sqrt(self.other))


def compare(
    reference_dir: str, quantized_dir: str, feeds: Sequence[str], progress: Progress
) -> list[dict[str, Any]]:
    """The layers of the FP32 model in program order: how much of each one's output the quantized model keeps.

    Args:
        reference_dir: the FP32 model that the other was made from. Where its layers were equalized, the equalized one:
            a layer whose weights were scaled has other outputs, without any error.
        quantized_dir: a model with quantizing and dequantizing operators and the same names of layer outputs.
        feeds: .npz files, one batch each, arrays by input name; shapes may differ.

    Returns:
        `name` of the layer, `output_sqnr_db` and `cosine` over all batches (see `Similarity`). A layer whose output the
        quantized model does not have any more is left out.

    Raises:
        ModelError: there are no feeds, one cannot be read, a model does not load, or they do not fit each other.
    """
    if not feeds:
        raise ModelError("there is no batch to compare the models with", where=quantized_dir)
    reference, quantized = (
        graphs.read(model.files_in(Path(item))) for item in (reference_dir, quantized_dir)
    )
    shared = _shared(reference, quantized)
    if not shared:
        raise ModelError(
            "the two models have no layer in common",
            where=quantized_dir,
            remedy="compare a quantized model with the FP32 model that it was made from",
        )
    found = {layer.output: Similarity() for layer in shared}
    predictors = [_watched(graph, list(found)) for graph in (reference, quantized)]
    for done, path in enumerate(feeds, 1):
        _take_in(found, predictors, path)
        progress(done, len(feeds))
    return [_row(layer, found[layer.output]) for layer in shared]


def _shared(reference: Graph, quantized: Graph) -> list[Layer]:
    """The layers of `reference` whose outputs both have."""
    there = {name for op in quantized.ops for name in graphs.written(op)}
    return [layer for layer in layers.layers_of(reference) if layer.output in there]


def _watched(graph: Graph, names: Sequence[str]) -> Predictor:
    """The model of `graph`, which also gives the tensors `names`."""
    graph.add_outputs([name for name in names if name not in graph.outputs])
    with tempfile.TemporaryDirectory() as scratch:
        graph.write(Path(scratch))
        return model.load(Path(scratch), PredictorOptions())


def _take_in(found: dict[str, Similarity], predictors: Sequence[Predictor], path: str) -> None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            feed = dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError("the batch cannot be read", where=path) from error
    first, second = (predictor(feed) for predictor in predictors)
    for name, sums in found.items():
        if first[name].shape != second[name].shape:
            raise ModelError(
                f"{name} has the shape {first[name].shape} in the FP32 model and {second[name].shape} in the other",
                where=path,
            )
        sums.add(first[name], second[name])


def _row(layer: Layer, sums: Similarity) -> dict[str, Any]:
    return {"name": layer.name, "output_sqnr_db": sums.sqnr_db, "cosine": sums.cosine}
