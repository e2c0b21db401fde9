"""oneDNN's verbose report: one line for each primitive that was executed (oneDNN Developer Guide, "Verbose Mode").

The last field of a line but one is the problem: the sizes of all tensors, in the notation of oneDNN's benchdnn.
The multiply-accumulates follow from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Optional

from toolkit.errors import ModelError

CONVOLUTIONS = ("convolution", "deconvolution")
# `gemm_api` is a plain call of oneDNN's matrix product; Paddle's fused attention makes two for each head.
PRODUCTS = ("inner_product", "matmul", "gemm_api")

# onednn_verbose,exec,cpu,convolution,jit_int8:avx512_core_vnni,forward_inference,src_u8::blocked:...,...,0.05
# A line that other output has cut up is left out.
_EXECUTED = re.compile(
    r"(?:onednn|dnnl)_verbose,(?:[\d.]+,)?exec,\w+,(?P<kind>\w+),(?P<implementation>[^,]*),.*"
    r",(?P<problem>[^,]*),(?P<time>\d+(?:\.\d+)?(?:e-?\d+)?)\s*$"
)
_SOURCE = re.compile(r"\bsrc_([a-z0-9]+):")
_TYPES = {"u8": "int8", "s8": "int8", "bf16": "bf16", "f32": "fp32"}


@dataclass(frozen=True)
class Primitive:
    """One executed primitive.

    Attributes:
        kind: oneDNN's name of it.
        source: data type of its first input; `int8` whether signed or not.
        implementation: the kernel, with its instruction set: `brgconv:avx512_core_vnni`.
        macs: multiply-accumulates; 0 for all that is neither convolution nor matrix product.
        weight_shape: as Paddle keeps it: (out, in / groups, *kernel) of a convolution, (in, out / groups, *kernel)
            of a transposed one, (in, out) of a matrix product; empty where `macs` is 0.
        milliseconds: its time.
    """

    kind: str
    source: str
    implementation: str
    macs: int
    weight_shape: tuple[int, ...]
    milliseconds: float

    @property
    def is_heavy(self) -> bool:
        """Whether it is a convolution or a matrix product."""
        return self.kind in (*CONVOLUTIONS, *PRODUCTS)


def parse(lines: Iterable[str]) -> list[Primitive]:
    """The executed primitives in oneDNN's verbose output.

    Raises:
        ModelError: a convolution's or matrix product's sizes are written in a way that is not known.
    """
    return [primitive for primitive in map(_parse_line, lines) if primitive is not None]


def _parse_line(line: str) -> Optional[Primitive]:
    found = _EXECUTED.match(line)
    if found is None:
        return None
    kind, source = found["kind"], _SOURCE.search(line)
    macs, shape = _work(kind, found["problem"])
    dtype = source[1] if source else ""
    return Primitive(
        kind, _TYPES.get(dtype, dtype), found["implementation"], macs, shape, float(found["time"])
    )


def _work(kind: str, problem: str) -> tuple[int, tuple[int, ...]]:
    """Multiply-accumulates and the weight's shape."""
    try:
        if kind == "convolution":
            return _convolution(_sizes(problem))
        if kind == "deconvolution":
            return _deconvolution(_sizes(problem))
        if kind == "inner_product":
            return _inner_product(_sizes(problem))
        return _matmul(problem) if kind in PRODUCTS else (0, ())
    except (KeyError, ValueError) as error:
        raise ModelError(
            f"oneDNN reported a {kind} in a way that is not known: {problem!r}",
            remedy="check that paddlepaddle is the version that the toolkit installs",
        ) from error


def _sizes(problem: str) -> dict[str, int]:
    """`g2mb1_ic8oc4_ih6oh3kh3...` as {"g": 2, "mb": 1, "ic": 8, ...}; channels are those of all groups together."""
    return {name: int(size) for name, size in re.findall(r"([a-z]+)(\d+)", problem)}


def _axes(sizes: dict[str, int], letter: str) -> list[int]:
    """Depth, height and width (those that there are) of the input (`i`), the output (`o`) or the kernel (`k`)."""
    return [sizes[letter + axis] for axis in "dhw" if letter + axis in sizes]


def _convolution(sizes: dict[str, int]) -> tuple[int, tuple[int, ...]]:
    """Every output takes a kernel's worth of products; those with the padding count, as is usual."""
    shape = (sizes["oc"], sizes["ic"] // sizes.get("g", 1), *_axes(sizes, "k"))
    return sizes["mb"] * prod(_axes(sizes, "o")) * prod(shape), shape


def _deconvolution(sizes: dict[str, int]) -> tuple[int, tuple[int, ...]]:
    """Every input gives a kernel's worth of products; those that padding cuts off count."""
    shape = (sizes["ic"], sizes["oc"] // sizes.get("g", 1), *_axes(sizes, "k"))
    return sizes["mb"] * prod(_axes(sizes, "i")) * prod(shape), shape


def _inner_product(sizes: dict[str, int]) -> tuple[int, tuple[int, ...]]:
    shape = (sizes["ic"] * prod(_axes(sizes, "i")), sizes["oc"])
    return sizes["mb"] * prod(shape), shape


def _matmul(problem: str) -> tuple[int, tuple[int, ...]]:
    """`2x4x8:1x8x3`, and the output's shape too in older versions; a batch dimension of 1 is broadcast."""
    first, second = ([int(size) for size in shape.split("x")] for shape in problem.split(":")[:2])
    batch = prod(max(pair) for pair in zip(first[:-2], second[:-2]))
    rows, inner = first[-2:]
    return batch * rows * inner * second[-1], (inner, second[-1])
