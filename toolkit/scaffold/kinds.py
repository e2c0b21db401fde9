"""What a model is likely to be, by the shapes of its inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import Literal

from toolkit.engines.inspection import Inspection
from toolkit.engines.signature import Tensor

Kind = Literal["classification", "detection", "tensor"]

# A network that reads text has at least so many characters.
_CHARACTERS = 30


@dataclass(frozen=True)
class Guess:
    """The kind, and why."""

    kind: Kind
    reason: str


def guess(found: Inspection) -> Guess:
    """What kind of pipeline fits the model; `tensor`, which any model is, where nothing else does."""
    inputs, outputs = found.signature.inputs, found.signature.outputs
    if is_classifier(found):
        return Guess("classification", f"an image in, {_number(outputs[0].shape[1])} scores out")
    if is_detector(found):
        return Guess("detection", "an image and its scale in, boxes and their number out")
    if not any(is_image(item) for item in inputs):
        return Guess(
            "tensor", "no input is an image [N open or 1, 1 or 3 channels, height, width] of float32"
        )
    return Guess("tensor", _of_images(found))


def is_image(tensor: Tensor) -> bool:
    """Whether an input can be an image: a batch that may be of one, one or three channels, height and width."""
    shape = tensor.shape
    return tensor.dtype == "float32" and len(shape) == 4 and shape[0] in (-1, 1) and shape[1] in (1, 3)


def is_classifier(found: Inspection) -> bool:
    """Whether it takes one image and gives one score for each class, of which there are two at least.

    Of a single number, the likeliest is always the first, whatever becomes of the model.
    """
    inputs, outputs = found.signature.inputs, found.signature.outputs
    if not (len(inputs) == len(outputs) == 1 and is_image(inputs[0])):
        return False
    return len(outputs[0].shape) == 2 and outputs[0].shape[1] != 1


def is_detector(found: Inspection) -> bool:
    """Whether it takes an image and its scale, and gives boxes and their number, as PaddleDetection exports it."""
    inputs, outputs = found.signature.inputs, found.signature.outputs
    if len(inputs) != 2 or len(outputs) != 2:
        return False
    images = [item for item in inputs if is_image(item) and item.shape[1] == 3]
    scales = [item for item in inputs if len(item.shape) == 2 and item.shape[1] == 2]
    boxes, count = (item.shape for item in outputs)
    return bool(images and scales) and len(boxes) == 2 and boxes[1] == 6 and len(count) == 1


def _of_images(found: Inspection) -> str:
    """What a model with an image among its inputs may be that no kind fits."""
    inputs, outputs = found.signature.inputs, found.signature.outputs
    if len(inputs) > 1 or len(outputs) > 1:
        return f"{len(inputs)} inputs and {len(outputs)} outputs, which could mean anything"
    shape = outputs[0].shape
    if len(shape) == 3 and (shape[2] >= _CHARACTERS or shape[2] < 0):
        return "an image in, scores of many characters by place out: a text recognizer, one step of an ocr"
    if len(shape) == 4 and shape[1] == 1:
        return "an image in, a map of it out: a text detector, one step of an ocr, or a segmentation"
    return f"an image {list(inputs[0].shape)} in, {list(shape)} out, which could mean anything"


def _number(size: int) -> str:
    return str(size) if size >= 0 else "some"
