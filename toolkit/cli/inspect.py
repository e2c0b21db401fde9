"""`toolkit inspect`: what the files of a model say of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Optional

import click

from toolkit.cli import show
from toolkit.cli.options import json_option
from toolkit.engines.formats import Format
from toolkit.engines.inspection import Inspection
from toolkit.engines.signature import Tensor
from toolkit.scaffold import kinds, look

_TYPES_SHOWN = 12
_ANY = "?"
_CONVERSIONS: Mapping[Format, str] = {
    "onnx": "converts it with x2paddle, in an environment of its own that is made once, and takes the result if its "
    "answers are those of ONNX Runtime",
    "pir": "converts it to ONNX with paddle2onnx, and that with x2paddle, in environments of their own that are made "
    "once, and takes the result if either gives the answers of what it was made of",
}


@click.command("inspect")
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--layers", is_flag=True, help="List every layer that has something to quantize.")
@json_option
def inspect_command(path: Optional[Path], layers: bool, as_json: bool) -> None:
    """Say what is in the model at PATH: inputs, outputs, operators, size, and which layers could run in INT8.

    PATH is the directory of an inference model, one of its files, what paddle.jit.save was given, a program of Paddle 3
    (.json), or an ONNX file. Nothing is run.
    """
    if path is None:
        raise click.UsageError("give the PATH of a model (FROM=)")
    found = look.inspect(path)
    guess = kinds.guess(found)
    facts = {**found.to_json(), "title": found.title, "int8_share": found.share, "like": guess.kind}
    if as_json:
        show.as_json(facts)
        return
    click.echo("\n".join(text(found, layers)))
    click.echo(f"{'kind':<12} {guess.kind}: {guess.reason}")
    if found.format in _CONVERSIONS:
        click.echo(f"{'make new':<12} {_CONVERSIONS[found.format]}")


def text(found: Inspection, every_layer: bool = False) -> Iterator[str]:
    """What people read, line by line."""
    yield f"{found.title}{f', {found.version}' if found.version else ''}"
    yield f"{'program':<12} {found.program}"
    if found.weights is not None:
        yield f"{'weights':<12} {found.weights}"
    yield f"{'size':<12} {found.bytes / 1e6:.1f} MB; {found.values:,} values in {found.parameters} weights"
    yield from _tensors("input", found.signature.inputs)
    yield from _tensors("output", found.signature.outputs, found.producers)
    yield f"{'operators':<12} {_census(found)}"
    if found.format == "paddle":
        yield f"{'INT8':<12} {_int8(found)}"
    if every_layer:
        for layer in found.layers:
            shape = "x".join(map(str, layer.shape)) or "two activations"
            yield f"  {layer.name:<40} {layer.kind:<18} {shape:<18} {'INT8' if layer.int8 else 'float'}"
    for note in found.notes:
        yield f"{'note':<12} {note}"


def _tensors(title: str, tensors: Sequence[Tensor], producers: Sequence[str] = ()) -> Iterator[str]:
    for number, item in enumerate(tensors):
        shape = ", ".join(_ANY if size < 0 else str(size) for size in item.shape)
        by = f", from {producers[number]}" if producers and producers[number] else ""
        yield f"{title:<12} {item.name}: {item.dtype} [{shape}]{by}"


def _census(found: Inspection) -> str:
    shown = list(found.operators.items())[:_TYPES_SHOWN]
    left = sum(found.operators.values()) - sum(count for _, count in shown)
    told = ", ".join(f"{name} {count}" for name, count in shown)
    return f"{sum(found.operators.values())}: {told}" + (f", others {left}" if left else "")


def _int8(found: Inspection) -> str:
    could = _by_kind(found, True)
    if could is None:
        return "nothing could: there is no convolution or matrix product with a weight"
    stay = _by_kind(found, False)
    return f"{could} could, {found.share:.0%} of all values" + (f"; {stay} stay in float" if stay else "")


def _by_kind(found: Inspection, int8: bool) -> Optional[str]:
    """Layers by their kind, with the values of their weights; None: there is none."""
    kinds_found = dict.fromkeys(layer.kind for layer in found.layers if layer.int8 is int8)
    told = []
    for kind in kinds_found:
        chosen = [layer for layer in found.layers if layer.kind == kind and layer.int8 is int8]
        told.append(f"{len(chosen)} {kind} ({_short(math.fsum(layer.values for layer in chosen))})")
    return ", ".join(told) or None


def _short(number: float) -> str:
    """12.3 M, 45 k, 0."""
    for factor, unit in ((1e6, " M"), (1e3, " k")):
        if number >= factor:
            return f"{number / factor:.1f}{unit}"
    return f"{number:.0f}"
