"""The proof of what ran: oneDNN's own report of the primitives of one inference, with their data types.

A model that is configured for INT8 may run in float without a word. So the proof comes from `ONEDNN_VERBOSE=1`,
which prints every primitive that was executed (oneDNN Developer Guide, "Verbose Mode").
"""

from __future__ import annotations

import ctypes
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from toolkit.child import Progress
from toolkit.engines import export, model, signature
from toolkit.engines.options import PredictorOptions
from toolkit.errors import ModelError

VERBOSE_ENVIRONMENT = {"ONEDNN_VERBOSE": "1", "DNNL_VERBOSE": "1"}

_HEAVY = ("convolution", "deconvolution", "inner_product", "matmul")
# onednn_verbose,exec,cpu,convolution,jit_int8:avx512_core_vnni,forward_inference,src_u8::blocked:...,...,0.05
# A line that other output has cut up is left out.
_EXECUTED = re.compile(
    r"(?:onednn|dnnl)_verbose,(?:[\d.]+,)?exec,\w+,(?P<kind>\w+),.*,(?P<time>\d+(?:\.\d+)?(?:e-?\d+)?)\s*$"
)
_SOURCE = re.compile(r"\bsrc_([a-z0-9]+):")


@dataclass(frozen=True)
class Primitive:
    """One executed primitive: its kind, the data type of its source, and its time."""

    kind: str
    source: str
    milliseconds: float


def prove(
    model_dir: str, options: Mapping[str, Any], shapes: Mapping[str, Any], progress: Progress
) -> dict[str, Any]:
    """Run one warm inference and count its primitives; must run with `VERBOSE_ENVIRONMENT`.

    Args:
        shapes: probe shape of each input.

    Returns:
        For each heavy kind of primitive the number by data type: `{"convolution": {"int8": 41, "fp32": 12}}`.

    Raises:
        ModelError: INT8 was asked for and no primitive ran in INT8.
    """
    del progress
    chosen = PredictorOptions.from_json(options)
    run = model.load(Path(model_dir), chosen)
    feed = export.probe_feed(signature.read(Path(model_dir)), shapes)
    run(feed)
    with _captured_output() as lines:
        run(feed)
    counts = count(parse(lines))
    if chosen.precision != "fp32" and not any(chosen.precision in kinds for kinds in counts.values()):
        raise ModelError(
            f"{chosen.precision} was asked for, but no convolution or matrix product ran in it",
            where=model_dir,
            remedy="check `quantize.ops` and `quantize.kernels` of the model in the pipeline spec",
        )
    return {"primitives": counts}


def parse(lines: list[str]) -> list[Primitive]:
    """The executed primitives in oneDNN's verbose output."""
    return [primitive for primitive in map(_parse_line, lines) if primitive is not None]


def _parse_line(line: str) -> Optional[Primitive]:
    found = _EXECUTED.match(line)
    if found is None:
        return None
    source = _SOURCE.search(line)
    return Primitive(
        found.group("kind"), _type_name(source.group(1) if source else ""), float(found.group("time"))
    )


def _type_name(onednn: str) -> str:
    return {"u8": "int8", "s8": "int8", "bf16": "bf16", "f32": "fp32"}.get(onednn, onednn)


def count(primitives: list[Primitive]) -> dict[str, dict[str, int]]:
    """Heavy primitives by kind and data type."""
    found = Counter((item.kind, item.source) for item in primitives if item.kind in _HEAVY)
    counts: dict[str, dict[str, int]] = {}
    for (kind, source), number in sorted(found.items()):
        counts.setdefault(kind, {})[source] = number
    return counts


def describe(counts: Mapping[str, Mapping[str, int]], precision: str) -> str:
    """The proof in words: `41 of 53 convolutions ran INT8`; only kinds that ran in `precision` at all."""
    parts = [
        f"{kinds[precision]} of {sum(kinds.values())} {kind.replace('_', ' ')}s ran {precision.upper()}"
        for kind, kinds in counts.items()
        if precision in kinds
    ]
    return ", ".join(parts) or f"nothing ran {precision.upper()}"


@contextmanager
def _captured_output() -> Iterator[list[str]]:
    """Lines that C code prints to standard output meanwhile."""
    libc = ctypes.CDLL(None)
    lines: list[str] = []
    with tempfile.TemporaryFile() as file:
        libc.fflush(None)
        saved = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            yield lines
        finally:
            libc.fflush(None)
            os.dup2(saved, 1)
            os.close(saved)
            file.seek(0)
            lines.extend(file.read().decode(errors="replace").splitlines())
