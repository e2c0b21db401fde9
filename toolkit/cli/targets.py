"""`toolkit targets` and `ci`: what runs the service elsewhere, and what builds it without anybody there."""

from __future__ import annotations

import re
import shlex
from typing import Any

import click

from toolkit.cli import show
from toolkit.cli.options import context_of, model_options, stage_options
from toolkit.targets import ci, files
from toolkit.targets.files import TARGETS
from toolkit.targets.plan import UNRELEASED

_VERSION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def _check_version(_: click.Context, __: click.Parameter, value: str) -> str:
    """It is written into tags of images and labels of Kubernetes, which take this much."""
    if _VERSION.fullmatch(value) is None or value == "latest":
        raise click.BadParameter(f"{value!r} is no version such as 1.4.0; letters, digits, '.', '_', '-'")
    return value


version_option = click.option(
    "--version",
    default=UNRELEASED,
    callback=_check_version,
    show_default=True,
    metavar="VERSION",
    help="Of the release: the tag of the image.",
)


@click.command("targets")
@model_options
@version_option
@click.option(
    "--only", multiple=True, type=click.Choice(TARGETS), help="Only this one; can be given several times."
)
def targets(as_json: bool, version: str, only: tuple[str, ...], **options: Any) -> None:
    """Write what runs the service elsewhere: containers, Kubernetes, KServe, Argo, systemd, nginx, CI."""
    run = context_of(as_json=as_json, **options)
    written = files.write(files.render(run.spec, only or TARGETS, version), run.home / "targets")
    if as_json:
        show.as_json({"directory": str(run.home / "targets"), "files": [str(path) for path in written]})
    else:
        click.echo("\n".join(map(str, written)))


@click.command("ci")
@stage_options
@click.pass_context
def ci_command(command: click.Context, /, as_json: bool, **options: Any) -> None:
    """Run here what the CI templates run, to the first failure; exits with the code of that."""
    run = context_of(as_json=as_json, **options)
    done = []
    for step in ci.steps(run.spec.name):
        arguments = _shared(options) + (_staged(options) if step.builds else [])
        run.console.say(f"{step.title}: toolkit {shlex.join([*step.arguments, *arguments])}")
        code = ci.run(step, arguments)
        done.append({"step": step.title, "command": step.command, "exit_code": code})
        if code != 0:
            break
    if as_json:
        show.as_json({"steps": done, "exit_code": code})
    command.exit(code)


def _shared(options: dict[str, Any]) -> list[str]:
    places = ["--pipelines", str(options["pipelines"]), "--build", str(options["build"])]
    return [*places, *(["-v"] if options["verbose"] else [])]


def _staged(options: dict[str, Any]) -> list[str]:
    given = ((name, options[name]) for name in ("data", "precision", "budget"))
    return [word for name, value in given if value is not None for word in (f"--{name}", str(value))]
