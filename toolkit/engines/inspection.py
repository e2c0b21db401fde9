"""What a model's files say of it, without running it: inputs, outputs, operators, weights, what could run in INT8."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional

from toolkit.child import Progress
from toolkit.engines import formats, graph, layers, onnx, pir, program, qdq
from toolkit.engines.files import ModelFiles
from toolkit.engines.formats import Format, Found
from toolkit.engines.graph import Graph
from toolkit.engines.layers import Layer
from toolkit.engines.signature import Signature
from toolkit.errors import ModelError

_FORMATS: Mapping[Format, str] = {
    "paddle": "Paddle inference model",
    "pir": "program of Paddle 3 (PIR)",
    "onnx": "ONNX model",
}

# Operators that say that somebody else has quantized the model.
_QUANTIZING = ("quantize_linear", "dequantize_linear", "fake_quantize", "fake_channel_wise_quantize")
_BRANCHING = ("while", "conditional_block")


@dataclass(frozen=True)
class LayerFound:
    """A convolution or a matrix product.

    Attributes:
        values: of its weight; 0 without one.
        int8: whether it could run in INT8. Transposed convolutions and products of two activations stay in float.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    values: int
    int8: bool


@dataclass(frozen=True)
class Inspection:
    """A model as its files describe it.

    Attributes:
        version: of what wrote it, as far as it says so; empty otherwise.
        bytes: of all its files.
        signature: inputs and outputs under the model's own names.
        producers: type of the operator that writes each output; empty where that is not known.
        operators: how many of each type, the most frequent first.
        parameters: number of weight tensors; `values`: of their elements.
        layers: what has a weight to quantize, or could; none are known of other formats than Paddle's.
        notes: what a user should know before deploying it.
        external: names of files beside the program that hold weights of it, of ONNX only.
    """

    format: Format
    program: str
    weights: Optional[str]
    version: str
    bytes: int
    signature: Signature
    operators: dict[str, int]
    parameters: int
    values: int
    producers: tuple[str, ...] = ()
    layers: tuple[LayerFound, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()
    external: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What it is, in words."""
        return _FORMATS[self.format]

    @property
    def share(self) -> float:
        """Of the values of all weights, those in layers that could run in INT8, 0..1."""
        return sum(layer.values for layer in self.layers if layer.int8) / max(1, self.values)

    def to_json(self) -> dict[str, Any]:
        """The inspection as a JSON object."""
        return {**asdict(self), "signature": self.signature.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Inspection:
        """The inspection that `to_json` wrote."""
        found = {**data, "signature": Signature.from_json(data["signature"])}
        found["layers"] = tuple(
            LayerFound(**{**item, "shape": tuple(item["shape"])}) for item in data["layers"]
        )
        for name in ("producers", "notes", "external"):
            found[name] = tuple(data[name])
        return cls(**found)


def run(path: str, progress: Progress) -> dict[str, Any]:
    """In the child: inspect the model at `path`; an `Inspection` as JSON.

    Raises:
        ModelError: there is none, a file is missing, damaged or may not be read, or the weights do not fit the program.
    """
    del progress
    try:
        found = formats.recognise(Path(path))
        return (_of_paddle(found) if found.format == "paddle" else _of_another(found)).to_json()
    except OSError as error:
        raise ModelError(
            f"the model cannot be read: {error.strerror or error}",
            where=str(error.filename or path),
        ) from error


def _of_paddle(found: Found) -> Inspection:
    loaded = program.read(found.program)
    with tempfile.TemporaryDirectory() as folder:
        files = _in_one_file(found, loaded, Path(folder))
        program.check_weights(loaded, files)
        content, size = graph.read(files), files.size
    values = {name: int(array.size) for name, array in content.weights.items()}
    return Inspection(
        "paddle",
        str(found.program),
        str(found.weights),
        _version(content),
        size,
        program.signature(loaded),
        _counted(op.type for op in content.ops if op.type not in ("feed", "fetch")),
        len(values),
        sum(values.values()),
        tuple(_producer(content, name) for name in content.outputs),
        tuple(_layer(item) for item in layers.layers_of(content)),
        tuple(_notes(content)),
    )


def _in_one_file(found: Found, loaded: Any, folder: Path) -> ModelFiles:
    """The model's files; the weights of one of Paddle 1, which may have a file each, as one file in `folder`."""
    assert found.weights is not None
    if not found.weights.is_dir():
        return ModelFiles(found.program, found.weights)
    files = ModelFiles(found.program, folder / "weights")
    program.gather(loaded, found.weights, files.params)
    return files


def _of_another(found: Found) -> Inspection:
    read = pir.read(found.program) if found.format == "pir" else onnx.read(found.program)
    external = tuple(read.get("external", ()))
    beside = [found.program.parent / name for name in external]
    others = beside + ([found.weights] if found.weights else [])
    missing = not all(path.is_file() for path in others)
    return Inspection(
        found.format,
        str(found.program),
        str(found.weights) if found.weights else None,
        read["version"],
        found.bytes + sum(path.stat().st_size for path in beside if path.is_file()),
        Signature(tuple(read["inputs"]), tuple(read["outputs"])),
        _counted(read["operators"]),
        len(read["shapes"]),
        sum(math.prod(shape) for shape in read["shapes"].values()),
        notes=("weights are missing beside the program",) if missing and read["shapes"] else (),
        external=external,
    )


def _counted(types: Any) -> dict[str, int]:
    """The most frequent first, by name among equals."""
    return dict(sorted(Counter(types).items(), key=lambda item: (-item[1], item[0])))


def _version(content: Graph) -> str:
    """Paddle writes 2006002 for 2.6.2, and nothing where it was built from a branch."""
    number = int(content.description.version.version)
    return f"Paddle {number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}" if number else ""


def _producer(content: Graph, name: str) -> str:
    """The type of the operator behind `name`; of one that only hands a tensor on, that before it."""
    op = content.producer(name)
    while op is not None and op.type in ("scale", "assign", "share_data") and _hands_on(op):
        op = content.producer(graph.input_(op, "X"))
    return op.type if op is not None else ""


def _hands_on(op: graph.Op) -> bool:
    """A scale by 1, as paddle.static.save_inference_model puts behind each output."""
    scale, bias = float(graph.attribute(op, "scale", 1.0)), float(graph.attribute(op, "bias", 0.0))
    return op.type != "scale" or (scale, bias) == (1.0, 0.0)


def _layer(layer: Layer) -> LayerFound:
    values = math.prod(layer.weight_shape) if layer.weight is not None else 0
    int8 = layer.weight is not None and layer.kind not in qdq.FLOAT_ONLY
    return LayerFound(layer.name, layer.kind, tuple(layer.weight_shape), values, int8)


def _notes(content: Graph) -> Iterator[str]:
    types = {op.type for op in content.ops}
    if any(name.startswith(_QUANTIZING) for name in types):
        yield "it is quantized already; candidates are made of FP32: give the model that it was made of"
    if types & set(_BRANCHING):
        yield "it has loops or branches; what is inside them is neither rewritten nor quantized"
    kinds = {str(array.dtype) for array in content.weights.values() if array.dtype.kind == "f"}
    if kinds - {"float32"}:
        yield f"weights are {', '.join(sorted(kinds))}; candidates are made of float32"
    for name in content.inputs:
        if content.variable(name).type.lod_tensor.lod_level:
            yield f"the input {name} has a level of detail: the rows of one inference are one sequence"
