"""`toolkit deploy`: all stages, then the service, then the proof that it answers as it was judged."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import click

from toolkit.cli import bundled, examples, reach, runnable, show
from toolkit.cli import result as results
from toolkit.cli.ask import ask
from toolkit.cli.bundled import Bundled
from toolkit.cli.options import (
    context_of,
    dist_option,
    key_option,
    service_options,
    stage_options,
    take_settings,
)
from toolkit.stages import evaluate, report, tuned
from toolkit.stages.context import Context
from toolkit.supervisor import journal, lock
from toolkit.supervisor import state as states
from toolkit.supervisor.deployed import Target
from toolkit.supervisor.state import State
from toolkit.supervisor.switch import CanaryRequest, Switched, switch

PROOF_FILE = "smoke.json"

# A SmokeReport as JSON.
Report = dict[str, Any]


@click.command("deploy")
@stage_options
@service_options
@click.option(
    "--release",
    "named",
    metavar="RELEASE",
    help="Deploy this release: a directory or archive that `toolkit release` made, or its name in --dist.",
)
@dist_option
@key_option
@click.option(
    "--canary",
    type=click.FloatRange(0, 100, min_open=True, max_open=True),
    metavar="PERCENT",
    help="First give the new release this share of the requests, then more, and take it back if it does worse.",
)
def deploy(
    as_json: bool,
    named: Optional[str],
    dist: Path,
    key: Optional[Path],
    canary: Optional[float],
    **options: Any,
) -> None:
    """From the trained model to a running, verified service.

    Runs only the stages whose input has changed. What serves goes on serving while the new release is built, started
    beside it and tried, and serves again if the new one does not answer as it should. Where the service has to be
    stopped for the new release, the command says why.

    With --release nothing is built: the release is verified to the byte (with --key, its signature too), and what lies
    in it for this processor is started. Where anything was changed, the exit code is 12, and what runs is left alone.

    With --canary the new release is compared with the one that serves while both answer: errors, latency, and answers.
    The pipeline's section `canary` has the steps and limits. Where it breaks one, or too few requests come to tell,
    the exit code is 13, and what served serves on.
    """
    started = time.monotonic()
    settings = take_settings(options)
    if named is not None:
        bundled.refuse_building(options)
    with results.recorded("deploy", **options) as result:
        context = context_of(as_json=as_json, **options)
        runnable.require(context)
        runnable.require_front_door(context)
        if named is not None:
            path, evaluation = _bundled(bundled.take(named, dist, key, context.spec.name), result)
        else:
            path, evaluation = _built(context, result)
        target = Target(str(path), settings)
        with lock.exclusive(context.home, f"deploy {target.label}"):
            request = _canary_request(context, target, canary, result)
            switched = _serve(context, target, request)
            current = switched.state
            results.write(context.home / PROOF_FILE, {**_served(current), "smoke": switched.proof})
        result.update(_result(context, evaluation, switched))
    if as_json:
        show.as_json(result)
    else:
        _print(context, evaluation, result["report"], switched, time.monotonic() - started)


def _built(context: Context, result: results.Result) -> tuple[Path, Any]:
    """The release, rendered, and its evaluation."""
    outcome = evaluate.run(context)
    result.update(verdict=results.summary(outcome.result), report=str(report.run(outcome)))
    return tuned.run(context, outcome).path, outcome.result


def _bundled(found: Bundled, result: results.Result) -> tuple[Path, Any]:
    """The release that was taken, and its evaluation."""
    result.update(
        verdict=results.summary(found.evaluation),
        report=str(found.page),
        bundle=found.title,
        signer=found.verified.signer,
    )
    return found.directory, found.evaluation


def _canary_request(
    context: Context, target: Target, percent: Optional[float], result: results.Result
) -> Optional[CanaryRequest]:
    """The canary, which puts its analyses into the result; None where there is none, or nothing to compare with."""
    if percent is None:
        return None
    analyses = result["canary"] = []
    current = states.running(context.home)
    if current is None or current.status != states.READY:
        context.console.say(
            "  canary     nothing serves that it could be compared with: it gets all requests at once"
        )
        return None
    if current.target == target:
        context.console.say("  canary     this release serves already: there is nothing to compare it with")
        return None

    def told(analysis: Mapping[str, Any]) -> None:
        text = analysis["text"]
        analyses.append({name: value for name, value in analysis.items() if name != "text"})
        context.console.say(f"  canary     {text}")

    return CanaryRequest(percent, told)


def _serve(context: Context, target: Target, canary: Optional[CanaryRequest]) -> Switched[Report]:
    """The service of the release, verified: the one that runs, or another release behind its ports, or a new one."""

    def verify(state: State) -> Report:
        with context.console.working("smoke", context.spec.name):
            return ask(state).to_json()

    current = states.running(context.home)
    if current is not None and current.target == target and reach.ready(current):
        return Switched(current, _report_of(context, current) or verify(current), 0.0)
    before = current.target.label if current is not None else ""
    with (
        journal.noted(context.home, "deploy", before, target.label),
        context.console.working("launch", context.spec.name),
    ):
        return switch(context.home, target, verify, canary)


def _served(state: State) -> dict[str, Any]:
    """What tells a process and the release that it serves."""
    return {"pid": state.pid, "birth": state.birth, "release": state.release, "variant": state.variant}


def _report_of(context: Context, state: State) -> Optional[Report]:
    """The proof of an earlier deployment that this very process answers as it should; None if it never came to that."""
    try:
        before = json.loads((context.home / PROOF_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    served = _served(state)
    report: Optional[Report] = before.get("smoke") if served.items() <= before.items() else None
    return report


def _result(context: Context, evaluation: Any, switched: Switched[Report]) -> dict[str, Any]:
    state = switched.state
    return {
        "ran": context.console.ran,
        "release": state.release,
        "http": f"{state.http_url}/predict/{state.name}",
        "grpc": state.grpc_target,
        "pid": state.pid,
        "beside": _beside(context),
        "rollout": show.rollout_json(switched),
        "evaluation": results.essentials(evaluation),
        "smoke": switched.proof,
    }


def _beside(context: Context) -> list[str]:
    """The other pipelines that the service serves."""
    return [state.name for state in states.beside(context.home).values()]


def _print(context: Context, evaluation: Any, page: str, switched: Switched[Report], seconds: float) -> None:
    state = switched.state
    if not context.console.ran:
        click.echo(f"nothing has changed, no stage ran; {state.name} is up and ready\n")
    click.echo(show.table(evaluation) + "\n\n" + show.verdict(evaluation))
    click.echo(f"report: {page}")
    click.echo(show.smoke(switched.proof))
    beside = _beside(context)
    shared = f"; the same ports serve {' and '.join(beside)}" if beside else ""
    click.echo(
        f"\n{state.name} is deployed ({seconds:.0f} s){show.rollout(switched)}{shared}\n\n{examples.endpoints(state)}"
    )
