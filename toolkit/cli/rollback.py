"""`toolkit rollback` and `history`: back to what served before, and what was deployed when, by whom."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Optional

import click

from toolkit.cli import show
from toolkit.cli.ask import ask
from toolkit.cli.options import home_of, model_options
from toolkit.errors import ServiceError
from toolkit.supervisor import deployed, journal, lock
from toolkit.supervisor import state as states
from toolkit.supervisor.deployed import FP32, RELEASE, Deployed, Target
from toolkit.supervisor.journal import Entry
from toolkit.supervisor.state import State
from toolkit.supervisor.switch import switch

_VARIANTS = {"fp32": FP32, "int8": RELEASE, "release": RELEASE}


@click.command("rollback")
@model_options
@click.option(
    "--to",
    type=click.Choice(sorted(_VARIANTS)),
    help="fp32: the FP32 reference of the release that serves; release, or int8: back from there. "
    "Default: the release before.",
)
def rollback(
    model: str, pipelines: Path, build: Path, verbose: bool, as_json: bool, to: Optional[str]
) -> None:
    """Go back to the release that served before, or to the FP32 models of the one that serves; no request is lost."""
    home = home_of(model, pipelines, build, verbose)
    with lock.exclusive(home, f"rollback {to or 'to the release before'}"):
        current = states.running(home)
        target = _target(home, current, model, to)
        before = current.target.label if current is not None else ""
        with journal.noted(home, "rollback", before, target.label):
            switched = switch(home, target, lambda state: ask(state).to_json())
    if as_json:
        show.as_json(
            {**switched.state.to_json(), "rollout": show.rollout_json(switched), "smoke": switched.proof}
        )
    else:
        click.echo(show.smoke(switched.proof))
        click.echo(f"{target.label} serves{show.rollout(switched)}")


def _target(home: Path, current: Optional[State], model: str, to: Optional[str]) -> Target:
    """What to go back to; it runs as what serves does."""
    known = deployed.read(home)
    if known is None:
        raise ServiceError(
            f"{model} has not been deployed yet", where=str(home), remedy=f"`make deploy MODEL={model}`"
        )
    return _wanted(known, current.target if current is not None else known.now, to)


def _wanted(known: Deployed, serving: Target, to: Optional[str]) -> Target:
    if to is not None:
        return replace(serving, variant=_VARIANTS[to])
    if known.before is None:
        raise ServiceError(
            f"no other release served before {serving.label}",
            remedy="`make rollback TO=fp32` goes to its FP32 models; `make history` shows what was deployed",
        )
    return replace(known.before, settings=serving.settings)


@click.command("history")
@model_options
@click.option("-n", "--lines", type=click.IntRange(1), default=20, show_default=True, help="Last changes.")
def history(model: str, pipelines: Path, build: Path, verbose: bool, as_json: bool, lines: int) -> None:
    """Show what was deployed when, by whom, and what became of it."""
    entries = journal.read(home_of(model, pipelines, build, verbose))[-lines:]
    if as_json:
        show.as_json([entry.to_json() for entry in entries])
    elif not entries:
        click.echo(f"{model} has not been deployed yet")
    else:
        click.echo("\n".join(_line(entry) for entry in entries))


def _line(entry: Entry) -> str:
    change = " -> ".join(name for name in (entry.before, entry.after) if name)
    reason = f"\n{'':22}{entry.reason.splitlines()[0]}" if entry.reason else ""
    return f"{entry.time}  {entry.what:<9} {entry.result:<12} {change}  by {entry.who}{reason}"
