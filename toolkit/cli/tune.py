"""`toolkit tune`: which configuration of the release serves most on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import click

from toolkit.cli import result as results
from toolkit.cli import show
from toolkit.cli.options import Duration, context_of, data_option, model_options, precision_option
from toolkit.spec.tuned import TUNED_FILE
from toolkit.supervisor import state as states
from toolkit.tuning import contest
from toolkit.tuning import run as tuning
from toolkit.tuning.run import PLOT_FILE, RESULT_FILE, Tuning, Wanted


@click.command("tune")
@model_options
@data_option
@precision_option
@click.option(
    "--target-p99",
    type=click.FloatRange(0, min_open=True),
    metavar="MS",
    help="99 of 100 requests are to be answered within so many milliseconds; default: what the spec says, or takes.",
)
@click.option(
    "--memory-mb",
    type=click.FloatRange(0, min_open=True),
    metavar="MB",
    help="The service may take so much memory, with its replicas; default: what the spec says, or any.",
)
@click.option(
    "--budget", type=Duration(), help="Time for everything: 90s, 5m, 1h; default: that of the spec's `tune`."
)
@click.option(
    "--search-budget",
    type=Duration(),
    help="What the release was built with as BUDGET=, if it was: that is a part of what it is.",
)
def tune_command(
    as_json: bool,
    target_p99: Optional[float],
    memory_mb: Optional[float],
    budget: Optional[float],
    search_budget: Optional[float],
    **options: Any,
) -> None:
    """Find the configuration that serves most on this machine, for the next deployment to use.

    Tries what the spec's section `tune` names (threads, requests at a time, options of models, ...) and, where the gate
    passed it, the FP32 variant, each as a real service under load. What gives other answers than the evaluation
    recorded is refused. The best is compared with the spec as it is once more, in turn; it is written to
    build/MODEL/tuning.yml if it is better at the same p99. A run that is broken off goes on where it was.
    """
    with results.recorded("tune", **options) as result:
        context = context_of(as_json=as_json, budget=search_budget, **options)
        running = states.running(context.home)
        if running is not None:
            click.echo(
                f"warning: {running.name} is running (process {running.pid}) and shares the cores: requests to it "
                "meanwhile spoil what is measured",
                err=True,
            )
        found = tuning.run(context, Wanted(target_p99, memory_mb, budget))
        result.update(found.to_json(), plot=str(found.folder / PLOT_FILE))
    if as_json:
        show.as_json(result)
    else:
        click.echo("\n".join(text(found, context.home)))


def text(found: Tuning, home: Path) -> Iterator[str]:
    """What was found as people read it, line by line."""
    yield f"what nothing beats in throughput and p99 (bound {found.bounds.p99:.0f} ms{_memory(found)}):"
    yield f"{'a second':>9} {'p99 ms':>8} {'p50 ms':>8} {'MB':>6} {'clients':>7}  configuration"
    for item, point in found.pareto:
        yield (
            f"{point.throughput:>9.2f} {point.p99:>8.0f} {point.p50:>8.0f} {item.memory:>6.0f} {point.clients:>7}  "
            f"{contest.described(item.configuration, found.space)}{_mark(found, item.configuration.key)}"
        )
    yield ""
    for item in found.results:
        if item.refused or item.configuration.key == found.space.default.key:
            yield contest.told(item, found.space, found.bounds)
    if found.final is not None and found.final.verdict.taken:
        yield f"chosen: {contest.described(found.chosen, found.space)}; {found.reason}"
        yield f"`make deploy` uses it: {home / TUNED_FILE}"
    else:
        yield f"the default stays: {found.reason}"
    yield f"plot: {found.folder / PLOT_FILE}; everything: {found.folder / RESULT_FILE}"


def _memory(found: Tuning) -> str:
    return f", {found.bounds.memory:.0f} MB" if found.bounds.memory is not None else ""


def _mark(found: Tuning, key: str) -> str:
    return " (chosen)" if key == found.chosen.key else ""
