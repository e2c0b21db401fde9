"""`toolkit launch`, `smoke`, `status`, `logs`, `stop`: the running service."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import click
import psutil

from toolkit.cli import reach, show
from toolkit.cli.deploy import ask
from toolkit.cli.options import (
    context_of,
    home_of,
    model_options,
    service_options,
    stage_options,
    take_settings,
)
from toolkit.errors import ServiceError, TemplateError
from toolkit.serving import release
from toolkit.stages import evaluate, render
from toolkit.supervisor import control
from toolkit.supervisor import state as states
from toolkit.supervisor.state import State


@click.command("launch")
@stage_options
@service_options
def launch(as_json: bool, **options: Any) -> None:
    """Start the service in the background and wait until it answers a golden request."""
    settings = take_settings(options)
    context = context_of(as_json=as_json, **options)
    rendered = render.run(context, evaluate.run(context))
    with control.exclusive(context.home), context.console.working("launch", context.spec.name):
        state = control.launch(context.home, rendered.path, settings)
    if as_json:
        show.as_json(state.to_json())
    else:
        click.echo(show.endpoints(state))


@click.command("serve")
@stage_options
@service_options
@click.option(
    "--release",
    "directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
    help="Serve the release in this directory, whatever --model says, and build nothing.",
)
def serve(as_json: bool, directory: Optional[Path], **options: Any) -> None:
    """Run the service in the foreground until SIGTERM or Ctrl-C: for systemd and containers.

    Its log goes to standard error; those of the replicas, and that of the requests, to the run directory.
    """
    settings = take_settings(options)
    if directory is not None:
        home = options["build"].resolve() / release.read(directory).name
        control.serve(home, directory, settings)
    context = context_of(as_json=as_json, **options)
    rendered = render.run(context, evaluate.run(context))
    control.serve(context.home, rendered.path, settings)


@click.command("smoke")
@model_options
@click.option(
    "--rounds", type=click.IntRange(1), default=3, show_default=True, help="Times that each image is asked."
)
def smoke(model: str, pipelines: Path, build: Path, verbose: bool, as_json: bool, rounds: int) -> None:
    """Ask the running service over every protocol; its answers must be those of the evaluation."""
    report = ask(_running(home_of(model, pipelines, build, verbose), model), rounds).to_json()
    if as_json:
        show.as_json(report)
    else:
        click.echo(show.smoke(report))


@click.command("status")
@model_options
@click.pass_context
def status(
    context: click.Context, model: str, pipelines: Path, build: Path, verbose: bool, as_json: bool
) -> None:
    """Say whether the service runs, where and since when. Exits with 1 unless it is ready."""
    current = states.running(home_of(model, pipelines, build, verbose))
    ready = current is not None and reach.ready(current)
    if as_json:
        show.as_json(
            {"running": current is not None, "ready": ready, **(current.to_json() if current else {})}
        )
    elif current is None:
        click.echo(f"{model} is not running; `make deploy MODEL={model}` starts it")
    else:
        click.echo(_describe(current, ready))
    context.exit(0 if ready else 1)


def _describe(state: State, ready: bool) -> str:
    try:
        plan = release.read(Path(state.release))
        steps = ", ".join(f"{item.name} in {item.precision.upper()}" for item in plan.steps)
    except TemplateError as error:
        steps = f"not known: {error.message}"
    minutes, seconds = divmod(int(time.time() - state.created), 60)
    lines = [
        f"{state.name} is {'ready' if ready else 'running, but NOT ready: see `make logs`'}",
        f"  models   {steps}",
        f"  HTTP     {state.http_url}/predict/{state.name}",
        f"  gRPC     {state.grpc_target}",
        f"  open to  {_guards(state)}",
        *(f"  replica  {_replica(item)}" for item in state.replicas),
        f"  process  {state.pid}, up {minutes} min {seconds} s",
        f"  release  {state.release}",
        f"  logs     {state.run_dir}",
    ]
    return "\n".join(lines)


def _guards(state: State) -> str:
    """Who can reach it, in words."""
    where = "this machine only" if state.loopback else f"whoever reaches {state.host}"
    keys = "API keys" if state.settings.keys_file else "no API keys from a file"
    tls = "no TLS" if state.settings.tls is None else "TLS"
    return f"{where}; {keys}, {tls}{', client certificates' if state.settings.tls_client_ca else ''}"


def _resident(pid: int) -> int:
    """Bytes of memory that a process has now; the record is as old as the last change of a replica."""
    try:
        return int(psutil.Process(pid).memory_info().rss) if pid else 0
    except psutil.Error:
        return 0


def _replica(told: Mapping[str, Any]) -> str:
    restarts = ", ".join(f"{count} x {reason}" for reason, count in told["restarts"])
    memory = f", {resident >> 20} MB" if (resident := _resident(told["pid"])) else ""
    replaced = f", replaced: {restarts}" if restarts else ""
    why = f"\n           {told['message'].splitlines()[0]}" if told["message"] else ""
    return f"{told['index']}: {told['state']}{memory}{replaced}{why}"


@click.command("logs")
@model_options
@click.option(
    "-n", "--lines", type=click.IntRange(1), default=40, show_default=True, help="Last lines of each file."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written, until Ctrl-C.")
def logs(
    model: str, pipelines: Path, build: Path, verbose: bool, as_json: bool, lines: int, follow: bool
) -> None:
    """Show the logs of the newest run."""
    files = control.logs(home_of(model, pipelines, build, verbose))
    if not files:
        raise ServiceError(f"{model} has not been started yet, so there are no logs")
    texts = {str(path): path.read_text(errors="replace").splitlines()[-lines:] for path in files}
    if as_json:
        show.as_json(texts)
        return
    for path, last in texts.items():
        click.echo(f"==> {path}")
        click.echo("\n".join(last))
    if follow:
        _follow(files)


def _follow(files: list[Path]) -> None:
    handles = [path.open(errors="replace") for path in files]
    for handle in handles:
        handle.seek(0, 2)
    try:
        while True:
            for handle in handles:
                click.echo(handle.read(), nl=False)
            time.sleep(0.3)
    except KeyboardInterrupt:
        for handle in handles:
            handle.close()


@click.command("stop")
@model_options
def stop(model: str, pipelines: Path, build: Path, verbose: bool, as_json: bool) -> None:
    """Stop the service and everything that it started. Stopping what does not run is no error."""
    home = home_of(model, pipelines, build, verbose)
    stopped = None
    if home.is_dir():
        with control.exclusive(home):
            stopped = control.stop(home)
    if as_json:
        show.as_json({"stopped": stopped is not None, **(stopped.to_json() if stopped else {})})
    else:
        click.echo(f"{model} has been stopped" if stopped else f"{model} was not running")


def _running(home: Path, model: str) -> State:
    current = states.running(home)
    if current is None:
        raise ServiceError(f"{model} is not running", remedy=f"`make deploy MODEL={model}` starts it")
    return current
