"""The proof of what ran: the engine's own report of one inference, by layer, with data types, work and time.

A model that is configured for INT8 may run in float without a word. So the proof comes from `ONEDNN_VERBOSE=1`,
which prints every primitive that was executed, or from OpenVINO, which tells the same of its graph. What Paddle runs
outside oneDNN is not in it, apart from the names.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import statistics
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import numpy as np

from toolkit.child import Progress
from toolkit.engines import executed, export, model, openvino, predictor, signature, verbose
from toolkit.engines.executed import Step
from toolkit.engines.options import PRECISIONS, PredictorOptions
from toolkit.engines.verbose import CONVOLUTIONS, PRODUCTS, Primitive
from toolkit.errors import ModelError

VERBOSE_ENVIRONMENT = {"ONEDNN_VERBOSE": "1", "DNNL_VERBOSE": "1"}

_RUNS = 3
_FAMILIES = {"convolutions": CONVOLUTIONS, "matrix products": PRODUCTS}


def prove(
    model_dir: str, options: Mapping[str, Any], shapes: Mapping[str, Any], progress: Progress
) -> dict[str, Any]:
    """Run warm inferences and report what they consist of; must run with `VERBOSE_ENVIRONMENT`.

    Args:
        shapes: probe shape of each input.

    Returns:
        See `proof`; and `answer`, the SHA-256 of the outputs. A model that has the same `kernels` and the same
        `answer` at two levels of instruction sets runs alike at both: other kernels in float would show in it.

    Raises:
        ModelError: INT8 or bf16 was asked for and no primitive ran in it, or the model cannot be run.
    """
    del progress
    directory, chosen = Path(model_dir), PredictorOptions.from_json(options)
    arrays = export.probe_feed(signature.read(directory), shapes)
    prove_in = _in_openvino if chosen.backend == "openvino" else _in_paddle
    found = prove_in(directory, chosen, arrays)
    if chosen.precision != "fp32" and not found["macs"][chosen.precision]:
        raise ModelError(
            f"{chosen.precision} was asked for, but no convolution or matrix product ran in it",
            where=model_dir,
            remedy="check `quantize.kinds` and `quantize.skip` of the model in the pipeline spec",
        )
    return found


def _in_paddle(directory: Path, options: PredictorOptions, arrays: predictor.Feed) -> dict[str, Any]:
    run = model.load(directory, options)
    answer = _digest(run(arrays))
    primitives = typical([_observe(run, arrays) for _ in range(_RUNS)])
    order = executed.steps(directory, options) if any(item.is_heavy for item in primitives) else []
    return {**proof(primitives, order), "answer": answer}


def _digest(outputs: predictor.Fetch) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(outputs.items()):
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _in_openvino(directory: Path, options: PredictorOptions, arrays: predictor.Feed) -> dict[str, Any]:
    runs, names = openvino.observed(directory, options, arrays, _RUNS)
    primitives = typical(runs)
    return _told(primitives, [item for item in primitives if item.is_heavy], names, [])


def _observe(run: predictor.Predictor, arrays: predictor.Feed) -> list[Primitive]:
    with _captured_output() as lines:
        run(arrays)
    return verbose.parse(lines)


def typical(runs: Sequence[Sequence[Primitive]]) -> list[Primitive]:
    """One run for several: the median time of each primitive; a run of which lines were lost does not count."""
    whole = max(runs, key=len)
    same = [run for run in runs if len(run) == len(whole)]
    return [
        replace(item, milliseconds=statistics.median(run[index].milliseconds for run in same))
        for index, item in enumerate(whole)
    ]


def proof(primitives: Sequence[Primitive], order: Sequence[Step]) -> dict[str, Any]:
    """What one inference consists of.

    Args:
        primitives: in the order of execution.
        order: layers of the model, in the same order.

    Returns:
        primitives: numbers of convolutions and matrix products by kind and data type.
        macs: multiply-accumulates by data type.
        share: INT8's part of them, 0 to 1.
        milliseconds: time of the convolutions and matrix products, by `kind/dtype`.
        layers: of each convolution and matrix product, in the order of execution: name (None: unknown), kind,
            dtype, implementation, macs, milliseconds.
        others: time of all else by kind.
        kernels: how many primitives each implementation ran, by `kind implementation`: of convolutions, matrix
            products, and all that reads or makes INT8, where what saturates shows with some values only.
        outside: names of layers that no primitive was found for: Paddle's own kernels ran them, and `macs` lacks
            theirs, or fusing hid them.
    """
    heavy = _joined([item for item in primitives if item.is_heavy])
    names = executed.names(heavy, order)
    outside = [step.name for step in order if step.name is not None and step.name not in names]
    return _told(primitives, heavy, names, outside)


def _told(
    primitives: Sequence[Primitive],
    heavy: Sequence[Primitive],
    names: Sequence[Optional[str]],
    outside: Sequence[str],
) -> dict[str, Any]:
    macs = dict.fromkeys(PRECISIONS, 0)
    for item in heavy:
        macs[item.source] = macs.get(item.source, 0) + item.macs
    return {
        "primitives": count(primitives),
        "macs": macs,
        "share": macs["int8"] / max(1, sum(macs.values())),
        "milliseconds": _times((f"{item.kind}/{item.source}", item) for item in heavy),
        "layers": [_layer(name, item) for name, item in zip(names, heavy)],
        "others": _times((item.kind, item) for item in primitives if not item.is_heavy),
        "kernels": dict(sorted(Counter(_kernels(primitives)).items())),
        "outside": list(outside),
    }


def _kernels(primitives: Iterable[Primitive]) -> Iterator[str]:
    for item in primitives:
        if item.is_heavy or item.source == "int8" or item.kind == "reorder":
            yield f"{item.kind} {item.implementation}"


def _layer(name: Optional[str], item: Primitive) -> dict[str, Any]:
    return {
        "name": name,
        "kind": item.kind,
        "dtype": item.source,
        "implementation": item.implementation,
        "macs": item.macs,
        "milliseconds": item.milliseconds,
    }


def _times(items: Iterable[tuple[str, Primitive]]) -> dict[str, float]:
    """Milliseconds by name; the greatest first."""
    times: dict[str, float] = defaultdict(float)
    for name, item in items:
        times[name] += item.milliseconds
    return {name: round(times[name], 4) for name in sorted(times, key=lambda name: -times[name])}


def _joined(heavy: Sequence[Primitive]) -> list[Primitive]:
    """Plain matrix products in a row as one for each shape: fused attention makes two for each head and sample."""
    joined: list[Primitive] = []
    row: dict[tuple[int, ...], int] = {}
    for item in heavy:
        if item.kind != "gemm_api":
            row = {}
        position = row.setdefault(item.weight_shape, len(joined)) if item.kind == "gemm_api" else len(joined)
        if position == len(joined):
            joined.append(item)
        else:
            joined[position] = _sum(joined[position], item)
    return joined


def _sum(first: Primitive, second: Primitive) -> Primitive:
    return replace(
        first, macs=first.macs + second.macs, milliseconds=first.milliseconds + second.milliseconds
    )


def count(primitives: Sequence[Primitive]) -> dict[str, dict[str, int]]:
    """Convolutions and matrix products by kind and data type: `{"convolution": {"int8": 41, "fp32": 12}}`."""
    found = Counter((item.kind, item.source) for item in primitives if item.is_heavy)
    counts: dict[str, dict[str, int]] = {}
    for (kind, source), number in sorted(found.items()):
        counts.setdefault(kind, {})[source] = number
    return counts


def describe(found: Mapping[str, Any], precision: str) -> str:
    """The proof in words: `62 of 64 convolutions ran INT8 (93 % of the multiply-accumulates)`.

    Only what ran in `precision` at all is told; the percentage is rounded down.
    """
    parts = []
    for family, kinds in _FAMILIES.items():
        dtypes = [layer["dtype"] for layer in found["layers"] if layer["kind"] in kinds]
        if precision in dtypes:
            parts.append(f"{dtypes.count(precision)} of {len(dtypes)} {family} ran {precision.upper()}")
    if not parts:
        return f"nothing ran {precision.upper()}"
    percent = 100 * found["macs"][precision] // sum(found["macs"].values())
    return f"{', '.join(parts)} ({percent} % of the multiply-accumulates)"


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
