"""The options that decide how a model runs: the gate measures with them, the replica serves with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

PRECISIONS = ("fp32", "bf16", "int8")
BACKENDS = ("native", "onednn", "openvino")

# The operators that may run in INT8, under their names before and after Paddle's fusion passes. Explicit, since
# oneDNN's default also takes pooling and element-wise operators that nobody calibrated, and that costs far more
# accuracy than all convolutions do. Which of them do run in INT8 is decided layer by layer in the program.
INT8_OPERATORS = (
    "conv2d",
    "depthwise_conv2d",
    "fused_conv2d",
    "fc",
    "matmul",
    "matmul_v2",
    "fused_matmul",
)


@dataclass(frozen=True)
class PredictorOptions:
    """Engine settings of one predictor.

    Attributes:
        precision: `fp32`, `bf16` or `int8`; native kernels have the first only.
        backend: `native` (Paddle's own kernels, the reference), `onednn` (in Paddle Inference) or `openvino`.
        threads: threads of one inference.
        cache_capacity: number of input shapes whose oneDNN primitives are kept.
        op_set: names of the operators that may run in INT8; OpenVINO takes it from the program.
        rest: what runs beside INT8: `fp32` or `bf16`.
    """

    precision: str = "fp32"
    backend: str = "native"
    threads: int = 1
    cache_capacity: int = 64
    op_set: tuple[str, ...] = ()
    rest: str = "fp32"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision {self.precision!r} is none of {', '.join(PRECISIONS)}")
        if self.backend not in BACKENDS:
            raise ValueError(f"backend {self.backend!r} is none of {', '.join(BACKENDS)}")
        if self.precision != "fp32" and self.backend == "native":
            raise ValueError(f"{self.precision} does not run in native kernels")
        if self.precision == "int8" and self.backend == "onednn" and not self.op_set:
            raise ValueError("int8 needs an explicit op_set")
        if self.rest not in ("fp32", "bf16") or (self.rest != "fp32" and self.precision != "int8"):
            raise ValueError(f"rest {self.rest!r} does not go with {self.precision}")

    @property
    def label(self) -> str:
        """The options in one word: the precision, and `native` for the reference."""
        return "native" if self.backend == "native" else self.precision

    @property
    def engine(self) -> str:
        """The engine that runs it: `paddle` or `openvino`."""
        return "openvino" if self.backend == "openvino" else "paddle"

    @property
    def digest(self) -> str:
        """SHA-256 of the options, in hex: equal digests run a model in the same way."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The options as a JSON object."""
        return {**asdict(self), "op_set": list(self.op_set)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PredictorOptions:
        """The options that `to_json` wrote."""
        return cls(**{**data, "op_set": tuple(data["op_set"])})
