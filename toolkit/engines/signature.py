"""A model's signature: names, dtypes and shapes of what goes in and comes out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from toolkit.errors import ModelError

SIGNATURE_FILE = "signature.json"


@dataclass(frozen=True)
class Tensor:
    """An input or output.

    Attributes:
        dtype: numpy's name of the element type.
        shape: -1 for a dynamic dimension.
        lod_level: whether rows are parts of sequences, Paddle's level of detail; 0: they are not.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    lod_level: int = 0


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs in the program's order."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def renaming(self, inputs: Sequence[str], outputs: Sequence[str]) -> dict[str, str]:
        """From each tensor's name to the one that the pipeline gives it.

        Raises:
            ModelError: the model has another number of inputs or outputs; lists those it has.
        """
        return {**_pairs("inputs", self.inputs, inputs), **_pairs("outputs", self.outputs, outputs)}

    @property
    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of the inputs and of the outputs."""
        return tuple(item.name for item in self.inputs), tuple(item.name for item in self.outputs)

    def answering(self, dtypes: Mapping[str, str]) -> Signature:
        """The same with these dtypes of outputs: old programs may declare others than they give."""
        outputs = tuple(replace(item, dtype=dtypes[item.name]) for item in self.outputs)
        return replace(self, outputs=outputs)

    def to_json(self) -> dict[str, Any]:
        """The signature as a JSON object."""
        return {
            "inputs": [_to_json(item) for item in self.inputs],
            "outputs": [_to_json(item) for item in self.outputs],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Signature:
        """The signature that `to_json` wrote."""
        return cls(_tensors(data["inputs"]), _tensors(data["outputs"]))

    def write(self, directory: Path) -> None:
        """Write it into a model's directory."""
        (directory / SIGNATURE_FILE).write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")


def read(directory: Path) -> Signature:
    """The signature in a model's directory."""
    return Signature.from_json(json.loads((directory / SIGNATURE_FILE).read_text(encoding="utf-8")))


def _to_json(tensor: Tensor) -> dict[str, Any]:
    found = asdict(tensor)
    return found if tensor.lod_level else {key: found[key] for key in ("name", "dtype", "shape")}


def _tensors(data: Sequence[Mapping[str, Any]]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(item["name"], item["dtype"], tuple(item["shape"]), item.get("lod_level", 0)) for item in data
    )


def _pairs(kind: str, tensors: Sequence[Tensor], names: Sequence[str]) -> dict[str, str]:
    if len(tensors) != len(names):
        has = ", ".join(f"{item.name} {item.dtype}{list(item.shape)}" for item in tensors)
        raise ModelError(
            f"the model has {len(tensors)} {kind} ({has}), the spec names {len(names)}",
            remedy=f"name each, in this order, under `{kind}:` of the model in the pipeline spec",
        )
    return {item.name: name for item, name in zip(tensors, names)}
