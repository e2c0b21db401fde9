"""`toolkit launch`, `smoke`, `status`, `logs`, `stop`: the running service."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import psutil

from toolkit.cli import bundled, examples, reach, runnable, show
from toolkit.cli.ask import ask
from toolkit.cli.options import (
    context_of,
    given,
    home_of,
    model_options,
    service_options,
    settings_given,
    stage_options,
    take_settings,
)
from toolkit.errors import ServiceError, TemplateError
from toolkit.serving import cpp, release
from toolkit.stages import evaluate, tuned
from toolkit.stages.context import Context
from toolkit.supervisor import control, deployed, journal, lock, runs
from toolkit.supervisor import state as states
from toolkit.supervisor.deployed import RELEASE, Start, Target
from toolkit.supervisor.settings import Settings
from toolkit.supervisor.state import State


@click.command("launch")
@stage_options
@service_options
@click.pass_context
def launch(command: click.Context, /, as_json: bool, **options: Any) -> None:
    """Start the service in the background and wait until it answers a golden request.

    What was deployed last serves again, as it was: the release, its variant, ports and all. With options of the stages,
    the release that they say is built and started instead.
    """
    context, target = _what_to_start(command, as_json, options)
    with (
        lock.exclusive(context.home, f"launch {target.label}"),
        journal.noted(context.home, "launch", "", target.label),
        context.console.working("launch", context.spec.name),
    ):
        state = control.launch(context.home, target)
    if as_json:
        show.as_json(state.to_json())
    else:
        click.echo(_tensors(state) if _is_cpp(state) else examples.endpoints(state))


def _is_cpp(state: State) -> bool:
    return (state.target.directory / cpp.FILE).is_file()


def _tensors(state: State) -> str:
    """Where the C++ server answers."""
    return "\n".join([*_places(state), f"  note     {state.note}"])


@click.command("serve")
@stage_options
@service_options
@click.option(
    "--release",
    "directories",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
    help="Serve the release in this directory, rendered or of a version, whatever --model says, and build nothing; "
    "several of several pipelines under the same ports.",
)
@click.pass_context
def serve(command: click.Context, /, as_json: bool, directories: tuple[Path, ...], **options: Any) -> None:
    """Run the service in the foreground until SIGTERM or Ctrl-C: for systemd and containers.

    It serves what `launch` would start; with --release what this processor runs of that, in the variant that it was
    left in. Its log goes to standard error; those of the replicas, and of the requests,
    to the run directory.
    """
    if directories:
        settings = take_settings(options)
        control.serve([_lying(directory, options["build"].resolve(), settings) for directory in directories])
    context, target = _what_to_start(command, as_json, options)
    control.serve([Start(context.home, target)])


def _lying(directory: Path, build: Path, settings: Settings) -> Start:
    """What to start of a release that lies in a directory."""
    release_dir = bundled.within(directory)
    home = build / release.read(release_dir).name
    return Start(home, _as_left(home, Target(str(release_dir), settings)))


def _as_left(home: Path, target: Target) -> Target:
    """The variant of a release that was deployed last, so that a restart takes back no rollback to FP32."""
    known = deployed.read(home)
    if known is None or known.now.release != target.release:
        return target
    left = replace(target, variant=known.now.variant)
    return left if left.directory.is_dir() else target


def _what_to_start(command: click.Context, as_json: bool, options: dict[str, Any]) -> tuple[Context, Target]:
    """What was deployed last, with the settings that were given; or a release built as the stages' options say."""
    names = given(command)
    settings = take_settings(options)
    context = context_of(as_json=as_json, **options)
    runnable.require(context)
    runnable.require_settings(context, settings)
    known = deployed.read(context.home) if context.spec.cpp is None else None
    if known is not None and known.now.directory.is_dir() and not names & {"data", "precision", "budget"}:
        target = replace(known.now, settings=settings_given(settings, known.now.settings, names))
        target.verify()
        return context, target
    return context, Target(str(tuned.run(context, evaluate.run(context)).path), settings)


@click.command("smoke")
@model_options
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Times that each golden request is asked.",
)
def smoke(model: str, pipelines: Path, build: Path, verbose: bool, as_json: bool, rounds: int) -> None:
    """Ask the running service over every protocol; its answers must be those of the evaluation."""
    current = _running(home_of(model, pipelines, build, verbose), model)
    if _is_cpp(current):
        raise ServiceError(
            f"{model} is the C++ server, which takes tensors and no images: it cannot be asked for golden answers",
            where=current.http_url + cpp.PREDICT_PATH,
        )
    report = ask(current, rounds).to_json()
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
    home = home_of(model, pipelines, build, verbose)
    current, others = states.running(home), states.beside(home).values()
    ready = current is not None and reach.ready(current)
    if as_json:
        told = {**current.to_json(), "beside": [state.name for state in others]} if current else {}
        show.as_json({"running": current is not None, "ready": ready, **told})
    elif current is None:
        click.echo(f"{model} is not running; `make deploy MODEL={model}` starts it")
    else:
        click.echo(_describe(current, ready, others))
    context.exit(0 if ready else 1)


def _describe(state: State, ready: bool, others: Collection[State]) -> str:
    try:
        plan = release.read(state.target.directory)
        steps = ", ".join(f"{item.name} in {item.precision.upper()}" for item in plan.steps)
    except TemplateError as error:
        steps = f"not known: {error.message}"
    beside = ", ".join(item.name for item in others)
    minutes, seconds = divmod(int(time.time() - state.created), 60)
    lines = [
        f"{state.name} is {'ready' if ready else 'running, but NOT ready: see `make logs`'}",
        f"  models   {steps}",
        *_places(state),
        *([f"  beside   {beside}, under the same ports"] if beside else []),
        f"  open to  {_guards(state)}",
        *(f"  replica  {_replica(item)}" for item in state.replicas),
        *([f"  note     {state.note}"] if state.note else []),
        f"  process  {state.pid}, up {minutes} min {seconds} s",
        f"  release  {state.release}{'' if state.variant == RELEASE else f', its {state.variant.upper()} variant'}",
        f"  logs     {state.run_dir}",
    ]
    return "\n".join(lines)


def _places(state: State) -> list[str]:
    """Where it answers."""
    if _is_cpp(state):
        return [f"  HTTP     {state.http_url}{cpp.PREDICT_PATH}, and brpc on the same port"]
    return [f"  HTTP     {state.http_url}/predict/{state.name}", f"  gRPC     {state.grpc_target}"]


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
    files = runs.logs(home_of(model, pipelines, build, verbose))
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
    stopped, left = None, ""
    if home.is_dir():
        with lock.exclusive(home, "stop"):
            running = states.running(home)
            if running is not None:
                with journal.noted(home, "stop", running.target.label, ""):
                    others = [state.name for state in states.beside(home).values()]
                    stopped = control.stop(home)
                    left = f"; its service goes on with {' and '.join(others)}" if others else ""
    if as_json:
        show.as_json({"stopped": stopped is not None, **(stopped.to_json() if stopped else {})})
    else:
        click.echo(f"{model} has been stopped{left}" if stopped else f"{model} was not running")


def _running(home: Path, model: str) -> State:
    current = states.running(home)
    if current is None:
        raise ServiceError(f"{model} is not running", remedy=f"`make deploy MODEL={model}` starts it")
    return current
