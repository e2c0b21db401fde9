"""What a new pipeline is to be: its kind, the names of tensors, the shapes to try, and where the model's files are."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

import yaml

from toolkit import spec
from toolkit.engines.inspection import Inspection
from toolkit.engines.signature import Signature, Tensor
from toolkit.errors import ModelError, SpecError
from toolkit.scaffold import kinds
from toolkit.scaffold.kinds import Kind, is_image

# What to do about a model that does not take the shapes that were tried.
OTHER_SIZES = (
    "give sizes that suit it where it leaves any open: ARGS='--shape x=1,3,320,320', x the input's own name"
)

# What a copy of the model lies in, within the pipeline's folder.
COPY = "inference_model"

# Objects of Kubernetes have names of 63 characters at most, and some of this name and a word.
_NAME = re.compile(r"[a-z][a-z0-9_]{,39}")
# Names that Paddle gives.
_NUMBERED = re.compile(r"^save_infer_model/|\.tmp_\d+$|^fetch_name_\d+$")
# What the build directory holds beside pipelines.
_RESERVED = ("store", "site")
# For a dimension that a model leaves open: height and width of an image, and any other.
_SIDE, _LENGTH = 224, 16
# The same, for a second try with another size.
_OTHER_SIDE, _OTHER_LENGTH = 320, 24
# The shorter side of an image is scaled to so much more than the part that is cut out, as for ImageNet: 256 for 224.
_MARGIN = 256 / 224
_PROBABILITIES = ("softmax", "sigmoid")


@dataclass(frozen=True)
class Source:
    """Where the model's files are, as a spec says it; see `toolkit.spec.network.SourceSpec`.

    Attributes:
        directory: relative to the pipeline's folder, or absolute where they lie outside of the project.
        model: name of the program's file, where the directory alone would not find it.
        params: name of the weights' file, likewise.
    """

    directory: str
    model: Optional[str] = None
    params: Optional[str] = None


@dataclass(frozen=True)
class Plan:
    """A pipeline to be written.

    Attributes:
        kind: of what it is like.
        found: the model.
        inputs: the name in the pipeline and the shape to try, for each input of the model in its order.
        outputs: likewise the names of the outputs.
        labelled: whether it is to be judged by classes of images.
        copied: whether the model's files are copied into the pipeline's folder.
        origin: of what they were made, and by what, in words; empty: they are the user's own.
    """

    name: str
    kind: Kind
    found: Inspection
    source: Source
    inputs: Mapping[str, tuple[int, ...]]
    outputs: tuple[str, ...]
    labelled: bool = False
    copied: bool = False
    origin: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image that the model gets."""
        shape = next(shape for shape in self.inputs.values() if len(shape) == 4)
        return shape[2], shape[3]

    @property
    def channels(self) -> int:
        """Of the image that the model gets."""
        return next(shape for shape in self.inputs.values() if len(shape) == 4)[1]

    @property
    def is_square(self) -> bool:
        """Whether that image is as high as it is wide."""
        return self.size[0] == self.size[1]

    @property
    def resize(self) -> int:
        """Pixels of the shorter side that the centre is cut out of."""
        return round(min(self.size) * _MARGIN)

    @property
    def gives_probabilities(self) -> bool:
        """Whether the first output needs no softmax."""
        return self.found.producers[0] in _PROBABILITIES

    @property
    def source_text(self) -> str:
        """The source as a mapping in YAML, in one line."""
        given = {name: value for name, value in asdict(self.source).items() if value is not None}
        return _in_one_line(given)

    @property
    def inputs_text(self) -> str:
        """The inputs and their shapes as a mapping in YAML, in one line."""
        return _in_one_line({name: list(shape) for name, shape in self.inputs.items()})

    @property
    def tensors(self) -> list[tuple[str, Tensor]]:
        """The inputs, then the outputs, each with the pipeline's name."""
        signature = self.found.signature
        return list(zip((*self.inputs, *self.outputs), (*signature.inputs, *signature.outputs)))

    @property
    def tensors_text(self) -> str:
        """The model's own inputs and outputs, in words."""
        return f"{_told(self.found.signature.inputs)} -> {_told(self.found.signature.outputs)}"


def _in_one_line(mapping: Mapping[str, Any]) -> str:
    text = yaml.safe_dump(
        mapping, default_flow_style=True, allow_unicode=True, sort_keys=False, width=math.inf
    )
    return str(text).strip()


def check_name(pipelines: Path, name: str) -> None:
    """Whether a new pipeline can have this name.

    Raises:
        SpecError: it cannot, or there is something of that name already.
    """
    if _NAME.fullmatch(name) is None or name in _RESERVED:
        raise SpecError(
            f"{name!r} cannot be the name of a pipeline",
            where="MODEL=",
            remedy="take small letters, digits and _, a letter first, 40 at most: mymodel",
        )
    if (pipelines / name).exists():
        raise SpecError(
            f"there is a pipeline {name!r} already, and nothing of it is overwritten",
            where=str(pipelines / name),
            remedy=f"choose another name with MODEL=; taken: {', '.join(spec.available(pipelines))}",
        )


def make(
    name: str,
    kind: Kind,
    found: Inspection,
    pipelines: Path,
    shapes: Mapping[str, Sequence[int]],
    labelled: bool = False,
    copied: bool = False,
    origin: str = "",
) -> Plan:
    """The plan of the pipeline `name` for the model `found`; `Plan` has what the rest is.

    Args:
        shapes: by the model's own names of inputs, those to try in the place of what its open dimensions suggest.

    Raises:
        ModelError: the model is not of this kind, or has no such input, or the shape is none of its.
    """
    signature = found.signature
    _check_printable(found)
    check_shapes(found, shapes)
    _check_kind(found, kind)
    inputs, outputs = _names(signature, kind)
    _check_one(kind, shapes)
    tried = [tuple(shapes.get(item.name, _closed(item))) for item in signature.inputs]
    source = _source(found, pipelines / name, copied)
    return Plan(name, kind, found, source, dict(zip(inputs, tried)), tuple(outputs), labelled, copied, origin)


_FITS: Mapping[Kind, tuple[Callable[[Inspection], bool], str]] = {
    "classification": (
        kinds.is_classifier,
        "image classifier: one image [N, 1 or 3, height, width] of float32 in, N open or 1; one [N, 2 or more] out",
    ),
    "detection": (
        kinds.is_detector,
        "detector as PaddleDetection exports it, with non-maximum suppression: an image [N, 3, height, width] and its "
        "scale [N, 2] in, boxes [M, 6] and their number [N] out",
    ),
    "tensor": (lambda found: True, ""),
}


def _check_kind(found: Inspection, kind: Kind) -> None:
    fits, wanted = _FITS[kind]
    if not fits(found):
        has = f"{_told(found.signature.inputs)} in and {_told(found.signature.outputs)} out"
        raise ModelError(
            f"the model is no {wanted}; it has {has}",
            where=found.program,
            remedy="LIKE=tensor takes any model: requests and answers are its arrays, until you write more into ops.py",
        )


def _check_printable(found: Inspection) -> None:
    """Whether the model's own names fit into a line of a comment; with a line break one would go on as YAML."""
    for item in (*found.signature.inputs, *found.signature.outputs):
        if not item.name.isprintable():
            raise ModelError(
                f"the model has an input or output named {item.name!r}, which cannot be written into files of text",
                where=found.program,
                remedy="export it again with names of letters, digits and _",
            )


def check_shapes(found: Inspection, shapes: Mapping[str, Sequence[int]]) -> None:
    """Whether the model `found` has inputs of these names that take these shapes.

    Raises:
        ModelError: it has not.
    """
    inputs = {item.name: item for item in found.signature.inputs}
    for name, shape in shapes.items():
        if name not in inputs:
            raise ModelError(
                f"the model has no input {name!r} that a shape could be for",
                remedy=f"its inputs: {', '.join(inputs)}",
            )
        declared = inputs[name].shape
        fits = len(shape) == len(declared) and all(own in (-1, size) for own, size in zip(declared, shape))
        if not fits:
            raise ModelError(
                f"the input {name} is {list(declared)} (-1: any size), and cannot be {list(shape)}"
            )


def _check_one(kind: Kind, shapes: Mapping[str, Sequence[int]]) -> None:
    """Whether each shape is one of a single request, which is what the code of kinds with images makes."""
    for name, shape in shapes.items():
        if kind != "tensor" and shape[0] != 1:
            raise ModelError(
                f"the input {name} cannot be {list(shape)}: a request brings one image",
                remedy="begin the shape with 1; or LIKE=tensor, whose requests bring arrays as they are",
            )


def check_tried(plan: Plan, gave: Mapping[str, Sequence[int]]) -> None:
    """Whether the model gave what code of its kind expects; a network for one size may take another for many images.

    Args:
        gave: shapes of its outputs, by name.

    Raises:
        ModelError: it did not.
    """
    if plan.kind == "classification" and gave["scores"][0] != 1:
        raise ModelError(
            f"the model gives scores {list(gave['scores'])} for one image {list(plan.inputs['image'])}",
            where=plan.found.program,
            remedy=OTHER_SIZES,
        )


def _told(tensors: Iterable[Tensor]) -> str:
    return ", ".join(f"{item.name} {item.dtype} {list(item.shape)}" for item in tensors) or "nothing"


def trials(found: Inspection, shapes: Mapping[str, Sequence[int]]) -> list[dict[str, tuple[int, ...]]]:
    """Shapes of all inputs to compare the model's answers in: those that are tried, and others where it takes any.

    Args:
        shapes: by the names of inputs, those to try; of these, first the number of samples is doubled, then the rest.
    """
    inputs = found.signature.inputs
    first = {item.name: tuple(shapes.get(item.name, _closed(item))) for item in inputs}
    samples, sizes = (
        {
            item.name: _twice(item, shapes[item.name], batch)
            if item.name in shapes
            else _closed(item, 2, _OTHER_SIDE, _OTHER_LENGTH)
            for item in inputs
        }
        for batch in (True, False)
    )
    different = [first]
    for other in (samples, sizes):
        if other not in different:
            different.append(other)
    return different


def _twice(tensor: Tensor, shape: Sequence[int], batch: bool) -> tuple[int, ...]:
    """The shape with twice the size of the first dimension, or of the others, as far as they are open."""
    axes = enumerate(zip(tensor.shape, shape))
    return tuple(size * 2 if own < 0 and (axis == 0) is batch else size for axis, (own, size) in axes)


def _closed(tensor: Tensor, batch: int = 1, side: int = _SIDE, length: int = _LENGTH) -> tuple[int, ...]:
    """The declared shape with sizes for open dimensions; one request makes one inference, so the first is 1."""
    free = side if is_image(tensor) else length
    rest = (size if size > 0 else free for size in tensor.shape[1:])
    return (tensor.shape[0] if tensor.shape[0] > 0 else batch, *rest) if tensor.shape else ()


def _names(signature: Signature, kind: Kind) -> tuple[list[str], list[str]]:
    """The pipeline's names of the inputs and of the outputs: those that the code of the kind has, else the model's."""
    if kind == "classification":
        return ["image"], ["scores"]
    if kind == "detection":
        return ["image" if is_image(item) else "scale_factor" for item in signature.inputs], [
            "boxes",
            "count",
        ]
    inputs = [item.name for item in signature.inputs]
    # Paddle's own numbers for what has no name tell nothing.
    outputs = ["output" if _NUMBERED.search(item.name) else item.name for item in signature.outputs]
    names = _distinct([*inputs, *outputs])
    return names[: len(inputs)], names[len(inputs) :]


def _distinct(own: Sequence[str]) -> list[str]:
    """The model's own names as a spec takes them, each once."""
    found: list[str] = []
    for name in own:
        plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        plain = plain if plain[:1].isalpha() else f"t_{plain}".rstrip("_")
        others = (f"{plain}_{number}" for number in range(2, len(own) + 2))
        found.append(next(item for item in (plain, *others) if item not in found))
    return found


def _source(found: Inspection, place: Path, copied: bool) -> Source:
    program, weights = Path(found.program), Path(str(found.weights))
    directory = COPY if copied else _reference(program.parent, place)
    usual = (program.with_suffix(".pdiparams").name, "__params__", "params")
    found_anyway = weights.name in usual or weights == program.parent
    return Source(directory, program.name, None if found_anyway else weights.name)


def _reference(directory: Path, place: Path) -> str:
    """Relative within the project, which may lie elsewhere on another machine; absolute beyond it."""
    inside = directory.is_relative_to(place.resolve().parent.parent)
    return os.path.relpath(directory, place.resolve()) if inside else str(directory)
