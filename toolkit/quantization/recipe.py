"""A recipe: everything that decides how one INT8 model is made from the FP32 model and its statistics."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

ALGORITHMS = ("minmax", "histogram", "moving_average", "kl", "mse")
GRANULARITIES = ("channel", "tensor")
RESTS = ("fp32", "bf16")
PRODUCTS = ("mul", "matmul", "matmul_v2")


@dataclass(frozen=True)
class Recipe:
    """How to quantize a model.

    Attributes:
        algorithm: how the threshold of an activation follows from its statistics.
        percent: share of the values within the threshold, for `histogram`.
        weights: `channel`: one scale for each output channel; `tensor`: one for each weight.
        kinds: kinds of layers that run in INT8.
        exclude: names of layers that stay in float all the same.
        rest: what the layers in float run in: `fp32` or `bf16`.
        bias_correction: add what rounding the weights takes from the mean of each output channel to the bias.
        equalize: even out the ranges of the channels between neighbouring layers before the weights are rounded.
    """

    algorithm: str = "histogram"
    percent: float = 0.9999
    weights: str = "channel"
    kinds: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    rest: str = "fp32"
    bias_correction: bool = False
    equalize: bool = False

    def __post_init__(self) -> None:
        for value, known in (
            (self.algorithm, ALGORITHMS),
            (self.weights, GRANULARITIES),
            (self.rest, RESTS),
        ):
            if value not in known:
                raise ValueError(f"{value!r} is none of {', '.join(known)}")

    @property
    def label(self) -> str:
        """The recipe in a few words, as tables show it: `int8 histogram 99.99, depthwise in float`."""
        parts = [f"int8 {self.algorithm}"]
        if self.algorithm == "histogram":
            parts[0] += f" {100 * self.percent:g}"
        parts += ["per tensor"] if self.weights == "tensor" else []
        parts += ["depthwise in float"] if "depthwise_conv2d" not in self.kinds else []
        parts += ["products in float"] if not set(PRODUCTS) & set(self.kinds) else []
        parts += [f"{_layers(len(self.exclude))} in float"] if self.exclude else []
        parts += ["bias corrected"] if self.bias_correction else []
        parts += ["equalized"] if self.equalize else []
        parts += ["rest bf16"] if self.rest == "bf16" else []
        return ", ".join(parts)

    @property
    def digest(self) -> str:
        """SHA-256 of the recipe, in hex."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def excluding(self, layers: tuple[str, ...]) -> Recipe:
        """The same recipe with other layers in float."""
        return replace(self, exclude=tuple(sorted(layers)))

    def __str__(self) -> str:
        """As logs and records of races have it: the label, which others may share, and the beginning of the digest."""
        return f"{self.label} #{self.digest[:4]}"

    def to_json(self) -> dict[str, Any]:
        """The recipe as a JSON object."""
        return {**asdict(self), "kinds": list(self.kinds), "exclude": list(self.exclude)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Recipe:
        """The recipe that `to_json` wrote."""
        return cls(**{**data, "kinds": tuple(data["kinds"]), "exclude": tuple(data["exclude"])})


def _layers(count: int) -> str:
    return "1 layer" if count == 1 else f"{count} layers"
