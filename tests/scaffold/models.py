"""Models as an inspection tells of them, without a file behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from toolkit.engines.formats import Format
from toolkit.engines.inspection import Inspection
from toolkit.engines.signature import Signature, Tensor

Shape = Sequence[int]
IMAGE = (-1, 3, 224, 224)


def model(
    inputs: dict[str, Shape],
    outputs: dict[str, Shape],
    dtype: str = "float32",
    producer: str = "softmax",
    format_: Format = "paddle",
    folder: str = "/models/mine",
) -> Inspection:
    """A model with inputs and outputs of these shapes."""
    found = Signature(
        tuple(Tensor(name, dtype, tuple(shape)) for name, shape in inputs.items()),
        tuple(Tensor(name, "float32", tuple(shape)) for name, shape in outputs.items()),
    )
    files = (f"{folder}/inference.pdmodel", f"{folder}/inference.pdiparams")
    producers = tuple(producer for _ in outputs)
    return Inspection(format_, *files, "", 1000, found, {"conv2d": 1}, 1, 10, producers)


def detector() -> Inspection:
    """A detector as PaddleDetection exports it."""
    boxes = {"nms_0.tmp_0": (3598, 6), "nms_0.tmp_2": (-1,)}
    return model({"image": (-1, 3, 416, 416), "scale_factor": (1, 2)}, boxes)


def encoder() -> Inspection:
    """What has no image in it."""
    found = model({"input_ids": (-1, -1)}, {"softmax_0.tmp_0": (-1, 4), "mean": (-1, 64)}, dtype="int64")
    scale = Tensor("scale", "float32", (-1, 1))
    return replace(found, signature=Signature((*found.signature.inputs, scale), found.signature.outputs))


def classifier(image: Shape = IMAGE, classes: int = 10, producer: str = "softmax") -> Inspection:
    """An image classifier."""
    return model({"x": image}, {"save_infer_model/scale_0.tmp_0": (-1, classes)}, producer=producer)
