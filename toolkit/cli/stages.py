"""`toolkit export`, `calibrate`, `quantize`, `evaluate`, `convert`, `render`: a stage, and what it depends on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Optional

import click

from toolkit.cli import show
from toolkit.cli.options import context_of, port_options, stage_options
from toolkit.stages import calibrate, convert, evaluate, export, quantize, render
from toolkit.stages.context import Context
from toolkit.store.artifact import Artifact

Made = Mapping[str, Artifact]


def _each(function: Callable[[Context, str], Artifact]) -> Callable[[Context], Made]:
    return lambda context: {name: function(context, name) for name in context.spec.steps}


def _wanting_int8(function: Callable[[Context, str], Artifact]) -> Callable[[Context], Made]:
    """Only the models that INT8 is a candidate of."""
    return lambda context: {
        name: function(context, name) for name in context.spec.steps if "int8" in context.candidates_of(name)
    }


def _convert(context: Context) -> Made:
    return {name: convert.run(context, variant) for name, variant in evaluate.run(context).chosen.items()}


def _report(context: Context, made: Made, as_json: bool) -> None:
    if as_json:
        artifacts = {
            name: {"path": str(item.path), "key": item.key, "info": item.info} for name, item in made.items()
        }
        show.as_json({"ran": context.console.ran, "artifacts": artifacts})
        return
    if not context.console.ran:
        click.echo("nothing has changed, no stage ran")
    for name, item in made.items():
        click.echo(f"{name:<8} {item.path}")


def _command(
    name: str, text: str, make: Callable[[Context], Made], with_ports: bool = False
) -> click.Command:
    def run(
        as_json: bool, host: Optional[str] = None, http_port: int = 0, grpc_port: int = 0, **options: Any
    ) -> None:
        del host, http_port, grpc_port
        context = context_of(as_json=as_json, **options)
        _report(context, make(context), as_json)

    run.__doc__ = text
    return click.command(name, help=text)(stage_options(port_options(run) if with_ports else run))


export_command = _command("export", "Write the FP32 model of each step and its signature.", _each(export.run))
calibrate_command = _command(
    "calibrate",
    "Freeze the calibration set, preprocessed to the shapes that are served.",
    _wanting_int8(calibrate.run),
)
quantize_command = _command(
    "quantize", "Make the INT8 models, by post-training quantization.", _wanting_int8(quantize.run)
)
convert_command = _command("convert", "Write the chosen models in Paddle Serving's format.", _convert)
render_command = _command(
    "render",
    "Write the release: chosen models, configs from templates/, golden requests.",
    lambda context: {context.spec.name: render.run(context, evaluate.run(context))},
    with_ports=True,
)


@click.command("evaluate")
@stage_options
def evaluate_command(as_json: bool, **options: Any) -> None:
    """Judge every candidate of every model in the engine that serves, and choose one of each.

    Exits with 4 if the only precision that --precision allows does not pass the gate.
    """
    context = context_of(as_json=as_json, **options)
    outcome = evaluate.run(context)
    if as_json:
        show.as_json({"ran": context.console.ran, **outcome.result})
    else:
        click.echo(show.table(outcome.result) + "\n\n" + show.verdict(outcome.result))
