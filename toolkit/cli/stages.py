"""`toolkit export`, `calibrate`, `quantize`, `evaluate`, `convert`, `render`: a stage, and what it depends on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from toolkit.cli import result as results
from toolkit.cli import show
from toolkit.cli.options import context_of, stage_options
from toolkit.stages import (
    calibrate,
    convert,
    dataset,
    evaluate,
    export,
    optimize,
    quantize,
    report,
    search,
    tuned,
)
from toolkit.stages.context import Context
from toolkit.store.artifact import Artifact

Made = Mapping[str, Artifact]


def _each(function: Callable[[Context, str], Artifact]) -> Callable[[Context], Made]:
    return lambda context: {name: function(context, name) for name in context.spec.steps}


def _wanting_int8(function: Callable[[Context, str], Artifact]) -> Callable[[Context], Made]:
    """Only the models that INT8 is a candidate of."""

    def make(context: Context) -> Made:
        if not context.calibrates:
            # It says that INT8 is no candidate of any, or that it cannot be had.
            dataset.run(context)
        names = [name for name in context.spec.steps if "int8" in context.candidates_of(name)]
        return {name: function(context, name) for name in names}

    return make


def _optimize(context: Context) -> Made:
    return {name: optimize.run(context, name) for name in context.spec.steps}


def _quantize(context: Context) -> Made:
    """The best proposal of each model's search."""
    made = {}
    for name, found in evaluate.searches(context, dataset.run(context)).items():
        for recipe in search.finalists(found.info)[:1]:
            made[name] = quantize.run(context, name, recipe)
            context.console.say(f"{name}: {recipe.label}")
    return made


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


def _command(name: str, text: str, make: Callable[[Context], Made]) -> click.Command:
    def run(as_json: bool, **options: Any) -> None:
        context = context_of(as_json=as_json, **options)
        _report(context, make(context), as_json)

    run.__doc__ = text
    return click.command(name, help=text)(stage_options(run))


export_command = _command("export", "Write the FP32 model of each step and its signature.", _each(export.run))
optimize_command = _command(
    "optimize", "Rewrite the FP32 models into fewer operators, checked on real inputs.", _optimize
)
calibrate_command = _command(
    "calibrate",
    "Gather the statistics of all activations, in one pass over the calibration data.",
    _wanting_int8(calibrate.run),
)
quantize_command = _command(
    "quantize", "Search for the INT8 models that lose least, on the samples of the search.", _quantize
)
convert_command = _command("convert", "Write the chosen models in Paddle Serving's format.", _convert)
render_command = _command(
    "render",
    "Write the release: chosen models, configs from templates/, golden requests.",
    lambda context: {context.spec.name: tuned.run(context, evaluate.run(context))},
)


@click.command("evaluate")
@stage_options
@click.option("--strict", is_flag=True, help="Exit with 10 also if what is served is not proven to pass.")
def evaluate_command(as_json: bool, strict: bool, **options: Any) -> None:
    """Judge the candidates of every model in the engine that serves, and choose one of each.

    Exits with 4 if the only precision that --precision allows does not pass the gate, with 10 if the samples are too
    few to tell and the spec does not accept that. The verdict is also in build/MODEL/result.json.
    """
    with results.recorded("evaluate", **options) as result:
        context = context_of(as_json=as_json, **options)
        outcome = evaluate.run(context)
        result.update(verdict=results.summary(outcome.result), report=str(report.run(outcome)))
        if not as_json:
            click.echo(show.table(outcome.result) + "\n\n" + show.verdict(outcome.result))
            click.echo(f"report: {result['report']}")
        outcome.require()
        if strict:
            results.require_proof(outcome.result, result["report"])
    if as_json:
        show.as_json({"ran": context.console.ran, **result, **results.essentials(outcome.result)})


@click.command("report")
@stage_options
def report_command(as_json: bool, **options: Any) -> None:
    """Write the report of the evaluation and say where it is; also of one that failed."""
    context = context_of(as_json=as_json, **options)
    page = report.run(evaluate.run(context))
    if as_json:
        show.as_json({"report": str(page), "json": str(page.with_name("report.json"))})
    else:
        click.echo(page)
