"""Which layer each executed primitive was: oneDNN prints no names.

Paddle optimizes a program before it runs it, and runs the operators of the result in their order. That is not the
order of the program that was loaded: in PP-OCRv4's detector branches of equal shapes change places. So the optimized
program is asked for, and its layers are matched with the primitives in order, by the shape of the weight. An operator
that ran outside oneDNN has no primitive; where a primitive may be one of several layers, it gets no name.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from toolkit.engines import graph as graphs
from toolkit.engines import layers, model, predictor
from toolkit.engines.graph import Graph
from toolkit.engines.layers import Layer
from toolkit.engines.options import PredictorOptions
from toolkit.engines.verbose import PRODUCTS, Primitive

# Where Paddle writes the program that it made of ours.
_OPTIMIZED = "_optimized.pdmodel"

# Operators of an optimized program: what oneDNN calls them, and the slots
# that may hold the weight, and that of the output.
_CONVOLUTION = (("convolution",), ("Filter",), "Output")
_DECONVOLUTION = (("deconvolution",), ("Filter",), "Output")
_PRODUCT = (PRODUCTS, ("Y", "X"), "Out")
_OPERATORS = {
    "conv2d": _CONVOLUTION,
    "depthwise_conv2d": _CONVOLUTION,
    "fused_conv2d": _CONVOLUTION,
    "conv2d_transpose": _DECONVOLUTION,
    "depthwise_conv2d_transpose": _DECONVOLUTION,
    "fc": (PRODUCTS, ("W",), "Out"),
    "mul": _PRODUCT,
    "matmul": _PRODUCT,
    "matmul_v2": _PRODUCT,
    "fused_matmul": _PRODUCT,
}


@dataclass(frozen=True)
class Step:
    """A layer in the order of execution.

    Attributes:
        name: the layer's; None where fusing left nothing of its names.
        kinds: what oneDNN may call it.
        weight_shape: None where both factors are activations.
    """

    name: Optional[str]
    kinds: tuple[str, ...]
    weight_shape: Optional[tuple[int, ...]]

    def fits(self, primitive: Primitive) -> bool:
        """Whether `primitive` may be this layer; a matrix product's weight may be transposed."""
        if primitive.kind not in self.kinds:
            return False
        if self.weight_shape is None:
            return primitive.kind != "inner_product"
        if self.kinds == PRODUCTS:
            return sorted(self.weight_shape[-2:]) == sorted(primitive.weight_shape)
        return self.weight_shape == primitive.weight_shape


def steps(directory: Path, options: PredictorOptions) -> list[Step]:
    """The layers of the model in `directory` in the order in which `options` make Paddle run them."""
    names = _names(graphs.read(model.files_in(directory)))
    return list(_steps(_optimized(directory, options), names))


def by_output(directory: Path) -> dict[str, str]:
    """The names of the layers of the model in `directory`, by the tensor that each writes."""
    return {layer.output: name for layer, _, name in _named(graphs.read(model.files_in(directory)))}


def _names(graph: Graph) -> dict[str, list[str]]:
    """Names of the layers by weight, or by output where there is none; layers that share a weight in their order."""
    found: dict[str, list[str]] = defaultdict(list)
    for layer, weight, name in _named(graph):
        found[weight or layer.output].append(name)
    return found


def _named(graph: Graph) -> Iterator[tuple[Layer, Optional[str], str]]:
    """The layers with their weights, and their names as `layers_of` gives them in the float model."""
    seen = set()
    for layer in layers.layers_of(graph):
        weight = layer.weight or _integers(graph, layer)
        if weight is None or weight in seen:
            yield layer, weight, layer.output
        else:
            seen.add(weight)
            yield layer, weight, weight.rsplit(".w_", 1)[0]


def _integers(graph: Graph, layer: Layer) -> Optional[str]:
    """The weight of a quantized layer, which reads it through an operator that dequantizes."""
    for name in layer.activations:
        producer = graph.producer(name)
        if producer is not None and "dequantize" in producer.type:
            source = graphs.input_(producer, "X")
            if source in graph.weights:
                return source
    return None


def _optimized(directory: Path, options: PredictorOptions) -> Any:
    """The first block of the program that Paddle makes of the model."""
    from paddle import inference
    from paddle.base.proto import framework_pb2

    config = predictor.config_of(model.files_in(directory), options)
    with tempfile.TemporaryDirectory() as folder:
        config.set_optim_cache_dir(folder)
        config.enable_save_optim_model(True)
        inference.create_predictor(config)
        return framework_pb2.ProgramDesc.FromString((Path(folder) / _OPTIMIZED).read_bytes()).blocks[0]


def _steps(block: Any, names: Mapping[str, Sequence[str]]) -> Iterator[Step]:
    shapes = {item.name: tuple(item.type.lod_tensor.tensor.dims) for item in block.vars if item.persistable}
    left = {key: iter(value) for key, value in names.items()}
    for op in block.ops:
        if op.type in _OPERATORS:
            kinds, slots, output = _OPERATORS[op.type]
            weights = [name for name in (graphs.input_(op, slot) for slot in slots) if name in shapes]
            key = weights[0] if weights else graphs.output(op, output)
            yield Step(next(left.get(key, iter(())), None), kinds, shapes.get(key))


def names(primitives: Sequence[Primitive], order: Sequence[Step]) -> list[Optional[str]]:
    """The name of each of `primitives`, which are the heavy ones of one inference; None: it cannot be told."""
    first = _longest(len(primitives), len(order), lambda i, j: order[j].fits(primitives[i]))
    last = _longest(len(primitives), len(order), lambda i, j: order[~j].fits(primitives[~i]))
    certain = first & {(len(primitives) - 1 - i, len(order) - 1 - j) for i, j in last}
    found = {i: order[j].name for i, j in certain}
    return [found.get(i) for i in range(len(primitives))]


def _longest(rows: int, columns: int, fits: Callable[[int, int], bool]) -> set[tuple[int, int]]:
    """The longest list of pairs that fit, in the order of both sequences; of several the one that begins first."""
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    for i in reversed(range(rows)):
        for j in reversed(range(columns)):
            best[i][j] = max(best[i + 1][j], best[i][j + 1], best[i + 1][j + 1] + fits(i, j))
    pairs, i, j = set(), 0, 0
    while i < rows and j < columns:
        if fits(i, j) and best[i][j] == best[i + 1][j + 1] + 1:
            pairs.add((i, j))
            i, j = i + 1, j + 1
        elif best[i + 1][j] == best[i][j]:
            i += 1
        else:
            j += 1
    return pairs
