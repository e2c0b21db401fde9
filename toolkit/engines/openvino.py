"""OpenVINO, the other engine: it reads our Paddle programs as they are, INT8 ones too, and needs no conversion.

Optional, the extra `openvino` of setup.cfg. Its plugin for CPUs runs oneDNN as well, with fusions of its own; its Low
Precision Transformations make INT8 kernels of the quantizing operators of a program.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import util
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.engines import executed, model
from toolkit.engines.files import ModelFiles
from toolkit.engines.options import PredictorOptions
from toolkit.engines.predictor import Feed, Fetch
from toolkit.engines.verbose import Primitive
from toolkit.errors import ModelError

# What the plugin compiles is kept by shape, as with oneDNN alone: each shape of a network takes some hundred entries.
_ENTRIES = 16384

# OpenVINO's names of layers and of types, and those of `Primitive`.
_KINDS = {
    "Convolution": "convolution",
    "Deconvolution": "deconvolution",
    "FullyConnected": "inner_product",
    "MatMul": "matmul",
}
_TYPES = {"u8": "int8", "i8": "int8", "bf16": "bf16", "f32": "fp32"}


def installed() -> bool:
    """Whether the engine is there."""
    return util.find_spec("openvino") is not None


@dataclass(frozen=True)
class Loaded:
    """A compiled model, and the names of its inputs and outputs in the program, in their order."""

    compiled: Any
    inputs: list[str]
    outputs: list[str]


class OpenvinoPredictor:
    """A model loaded in OpenVINO; see `toolkit.engines.predictor.Predictor`."""

    def __init__(self, loaded: Loaded) -> None:
        self._request = loaded.compiled.create_infer_request()
        self.inputs, self.outputs = loaded.inputs, loaded.outputs
        self._ports = dict(zip(loaded.inputs, loaded.compiled.inputs))

    def __call__(self, feed: Feed) -> Fetch:
        """Run one inference; see `toolkit.engines.predictor.Predictor`."""
        if set(feed) != set(self.inputs):
            raise ModelError(f"the model takes the inputs {self.inputs}, not {sorted(feed)}")
        tensors = {name: self._tensor(name, array) for name, array in feed.items()}
        try:
            found = self._request.infer(tensors)
        except Exception as error:
            raise ModelError(f"the inference failed: {_reason(error)}") from error
        return {name: found[index].copy() for index, name in enumerate(self.outputs)}

    def _tensor(self, name: str, array: np.ndarray[Any, Any]) -> Any:
        """The array without a copy. OpenVINO reads one of another shape or type as if it had the right one."""
        from openvino import PartialShape, Tensor

        port = self._ports[name]
        tensor = Tensor(np.ascontiguousarray(array), shared_memory=True)
        shape, dtype = PartialShape(list(array.shape)), tensor.element_type
        if dtype != port.element_type or not port.partial_shape.compatible(shape):
            raise ModelError(
                f"the input {name!r} takes {port.element_type.to_string()} {port.partial_shape}, "
                f"not {dtype.to_string()} {shape}"
            )
        return tensor


def create(files: ModelFiles, options: PredictorOptions) -> OpenvinoPredictor:
    """Load the model `files` to run in OpenVINO as `options` say.

    Raises:
        ModelError: OpenVINO is not installed, or refused the model.
    """
    return OpenvinoPredictor(_load(files, options))


def _load(
    files: ModelFiles,
    options: PredictorOptions,
    shapes: Mapping[str, Sequence[int]] | None = None,
    **properties: Any,
) -> Loaded:
    if not installed():
        raise ModelError(
            "this model is to run in OpenVINO, which is not installed",
            where=str(files.model),
            remedy="install the extra `openvino` of setup.cfg; a rollback TO=fp32 does without",
        )
    import openvino

    try:
        core = openvino.Core()
        found = core.read_model(files.model, files.params)
        if shapes is not None:
            found.reshape({name: list(shape) for name, shape in shapes.items()})
        # Compiled, an output has the names of the tensors that were fused into it as well.
        names = [[item.any_name for item in side] for side in (found.inputs, found.outputs)]
        return Loaded(core.compile_model(found, "CPU", {**_properties(options), **properties}), *names)
    except Exception as error:
        raise ModelError(
            f"OpenVINO cannot load the model: {_reason(error)}",
            where=str(files.model),
            remedy="leave `openvino` out of `engines` in the pipeline spec",
        ) from error


def _properties(options: PredictorOptions) -> dict[str, Any]:
    bf16 = "bf16" in (options.precision, options.rest)
    return {
        "INFERENCE_NUM_THREADS": options.threads,
        "NUM_STREAMS": 1,
        # By default it takes rounding to bf16 for harmless.
        "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
        # Each process would take the first core.
        "ENABLE_CPU_PINNING": False,
        "CPU_RUNTIME_CACHE_CAPACITY": _ENTRIES,
    }


def observed(
    directory: Path, options: PredictorOptions, feed: Feed, runs: int
) -> tuple[list[list[Primitive]], list[str | None]]:
    """What each of so many warm inferences consisted of, by OpenVINO's own account.

    It is compiled for the shapes of `feed`, since only then the account has shapes to count the work by; what is served
    takes any shape, and runs the same layers in the same types (tests/engines/test_openvino.py).

    Returns:
        For each run all that was executed, in order; and the names of the layers that convolutions and matrix products
        among it were made of (None: unknown).

    Raises:
        ModelError: the model cannot be run.
    """
    shapes = {name: array.shape for name, array in feed.items()}
    loaded = _load(model.files_in(directory), options, shapes, PERF_COUNT=True)
    run = OpenvinoPredictor(loaded)
    run(feed)
    seen = []
    for _ in range(runs):
        run(feed)
        seen.append(list(_executed(loaded.compiled)))
    known = executed.by_output(directory)
    origins = [origin for origin, item in seen[0] if item.is_heavy]
    names = [next((known[name] for name in origin if name in known), None) for origin in origins]
    return [[item for _, item in row] for row in seen], names


def _executed(compiled: Any) -> Iterator[tuple[list[str], Primitive]]:
    """Nodes of the graph that ran, with the names of the tensors whose operators each was made of."""
    for node in compiled.get_runtime_model().get_ordered_ops():
        told = {key: _text(value) for key, value in node.get_rt_info().items()}
        if not told["execTimeMcs"].isdigit():
            continue
        weight, macs = _work(told["layerType"], node)
        yield (
            [name.partition("/")[0] for name in told["originalLayersNames"].split(",")],
            Primitive(
                _KINDS.get(told["layerType"], told["layerType"].lower()),
                _TYPES.get(told["runtimePrecision"], told["runtimePrecision"]),
                told["primitiveType"],
                macs,
                weight,
                int(told["execTimeMcs"]) / 1000,
            ),
        )


def _work(kind: str, node: Any) -> tuple[tuple[int, ...], int]:
    """Shape of the weight, and multiply-accumulates; nothing where it is neither convolution nor matrix product."""
    if kind not in _KINDS:
        return (), 0
    source, weight, output = (
        tuple(item.get_shape()) for item in (node.input(0), node.input(1), node.output(0))
    )
    if kind == "MatMul":
        return weight[-2:], prod(output) * source[-1]
    if kind == "FullyConnected":
        return weight[::-1], prod(output[:-1]) * prod(weight)
    # Each weight counts once for each pixel, of the input of a transposed convolution.
    pixels = source if kind == "Deconvolution" else output
    if len(weight) > len(output):  # groups come first
        weight = (weight[0] * weight[1], *weight[2:])
    return weight, pixels[0] * prod(pixels[2:]) * prod(weight)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value.astype(str))


def _reason(error: BaseException) -> str:
    """The last line of OpenVINO's long messages that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
