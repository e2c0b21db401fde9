"""`toolkit new`: a pipeline for a model that the toolkit has never seen."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import click

from toolkit.cli import inspect, show
from toolkit.cli.options import PIPELINES, json_option
from toolkit.console import Console
from toolkit.conversion import onnx, pir
from toolkit.conversion.onnx import Converted
from toolkit.data import dataset
from toolkit.engines.inspection import Inspection
from toolkit.errors import SpecError
from toolkit.scaffold import kinds, look, plan, write
from toolkit.scaffold.kinds import Guess
from toolkit.scaffold.plan import Plan
from toolkit.store.artifact import Store

_LIKE = ("classification", "tensor", "detection", "ocr")

_OCR = SpecError(
    "LIKE=ocr: one model is one step of an OCR pipeline, which finds lines and then reads each, so no pipeline can be "
    "made of it alone",
    where="LIKE=",
    remedy="copy pipelines/ocr to pipelines/<name>, set `name:`, and name your models under `source:` of `det` and "
    "`rec`; the classifier of a line's direction is LIKE=classification; LIKE=tensor serves the raw arrays of either",
)


class _Shape(click.ParamType):
    """The shape of an input: `x=1,3,320,320`."""

    name = "NAME=SIZES"

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> tuple[str, tuple[int, ...]]:
        """Name and sizes."""
        name, _, sizes = str(value).rpartition("=")
        if not name or re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", sizes) is None:
            self.fail(f"{value!r} is no shape of an input; write x=1,3,320,320", param, ctx)
        return name, tuple(int(size) for size in sizes.split(","))


@click.command("new")
@click.option("--model", required=True, help="Name of the new pipeline: its folder in --pipelines.")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    help="The model: directory of an inference model, its .pdmodel or .json, what paddle.jit.save was given; or an "
    "ONNX file.",
)
@click.option("--like", type=click.Choice(_LIKE), help="Kind of pipeline; default: guessed, and said why.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Your data: where its images have classes, the pipeline is judged by them, else by agreement with FP32.",
)
@click.option("--copy", is_flag=True, help="Copy the model's files into the pipeline's folder.")
@click.option(
    "--shape",
    "shapes",
    type=_Shape(),
    multiple=True,
    help="Sizes for an input that leaves some open, by the model's own name; can be given several times.",
)
@click.option(
    "--pipelines",
    type=click.Path(path_type=Path),
    default=PIPELINES,
    envvar="TOOLKIT_PIPELINES",
    help="Folder of pipelines; default: that of this checkout.",
)
@click.option(
    "--build",
    type=click.Path(path_type=Path),
    default=Path("build"),
    show_default=True,
    help="Directory of everything that is built, and of what converts models.",
)
@json_option
def new(
    model: str,
    source: Optional[Path],
    like: Optional[str],
    data: Optional[Path],
    copy: bool,
    shapes: Sequence[tuple[str, tuple[int, ...]]],
    pipelines: Path,
    build: Path,
    as_json: bool,
) -> None:
    """Write a pipeline for a model of your own, which `toolkit deploy` takes from there to a running service.

    \b
        toolkit new --model mymodel --from path/to/inference
        toolkit deploy --model mymodel --data path/to/images

    Looks at the model, says what it takes it for, runs it once, and writes --pipelines/<model>/: pipeline.yml, ops.py
    with pre- and postprocessing that works, README.md, and tests. Asks nothing, and overwrites nothing: from then on
    the folder is yours. The model's files stay where they are, and the spec names them; with --copy the folder is
    complete in itself. A release needs neither.

    An ONNX file is converted by x2paddle, in an environment of its own that is made in --build once, and taken only if
    its answers are those of ONNX Runtime; what was made of it lies in the pipeline's folder. A program of Paddle 3
    (.json) goes through ONNX: paddle2onnx first, taken only if its answers are those of Paddle 3.

    With data the deployment tries INT8: it is calibrated with a part of the images, and judged by others. Without, FP32
    is served, since nothing says which values to expect.
    """
    plan.check_name(pipelines, model)
    if source is None:
        raise click.UsageError("--from (FROM=) takes the model that the pipeline is for")
    if like == "ocr":
        raise _OCR
    found = look.inspect(source)
    made = None
    if found.format != "paddle":
        made = _converted(found, dict(shapes), build.resolve(), model, Console(quiet=as_json))
        found = made.named(look.inspect(made.directory))
    guess = kinds.guess(found)
    kind: Any = like or guess.kind
    classes = data is not None and _has_classes(data)
    labelled = kind == "classification" and classes
    planned = plan.make(
        model,
        kind,
        found,
        pipelines,
        dict(shapes),
        labelled,
        copy or made is not None,
        made.origin if made is not None else "",
    )
    gave = look.tried(found, planned.inputs, planned.outputs)
    plan.check_tried(planned, gave)
    written = write.write(planned, pipelines)
    if as_json:
        show.as_json(
            {
                "pipeline": model,
                "like": kind,
                "guess": vars(guess),
                "judge": "labels" if labelled else "agreement",
                "inputs": planned.inputs,
                "outputs": gave,
                "converted": {"origin": made.origin, **made.info} if made is not None else None,
                "files": [str(path) for path in written],
            }
        )
    else:
        click.echo("\n".join(_told(found, made, planned, like, guess, gave, written, data)))


def _converted(
    found: Inspection, shapes: Mapping[str, Sequence[int]], build: Path, model: str, console: Console
) -> Converted:
    """The model `found`, in ONNX or of Paddle 3, as a model of Paddle 2.

    Raises:
        ModelError: it cannot be converted, or `shapes` are none of its.
        ChildError: the converter died, or its environment cannot be made.
    """
    plan.check_shapes(found, shapes)
    trials = plan.trials(found, shapes)
    convert = onnx.convert if found.format == "onnx" else pir.convert
    return convert(found, trials, Store(build / "store"), build / model / "logs", console)


def _has_classes(data: Path) -> bool:
    """Whether every image that judges has a class.

    Raises:
        DataError: it is no dataset.
    """
    return all(sample.label is not None for sample in dataset.load(data.resolve()).validation)


def _told(
    found: Inspection,
    made: Optional[Converted],
    planned: Plan,
    like: Optional[str],
    guess: Guess,
    gave: Mapping[str, Sequence[int]],
    written: Sequence[Path],
    data: Optional[Path],
) -> Iterator[str]:
    yield from inspect.text(found)
    if made is not None:
        yield f"{'converted':<12} {made.origin}"
        yield from (f"{'compared':<12} {line}" for line in made.compared())
        yield from (f"{'note':<12} {line}" for line in made.notes())
    why = guess.reason if like in (None, guess.kind) else f"as LIKE= says; a guess would be {guess.kind}"
    yield f"{'kind':<12} {planned.kind}: {why}"
    tried = ", ".join(f"{name} {list(shape)}" for name, shape in planned.inputs.items())
    yield f"{'tried':<12} {tried} -> {', '.join(f'{name} {list(shape)}' for name, shape in gave.items())}"
    yield f"{'judged by':<12} {'the classes of your images' if planned.labelled else 'agreement with native FP32'}"
    yield ""
    yield from (f"wrote {_shortest(path)}" for path in written)
    yield ""
    marked = "" if planned.kind == "tensor" else ": what to check is marked there"
    yield f"look through {_shortest(written[0].parent / 'pipeline.yml')}{marked}. Then"
    given = f"a/folder/of/your/{_wanted(planned)}" if data is None else shlex.quote(str(data))
    yield f"    make deploy MODEL={planned.name} DATA={given}"
    if data is None:
        yield "Without DATA= it serves FP32: INT8 needs data to calibrate with."


def _wanted(planned: Plan) -> str:
    return "requests" if planned.kind == "tensor" else "images"


def _shortest(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
