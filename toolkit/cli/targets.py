"""`toolkit targets` and `ci`: what runs the service elsewhere, and what builds it without anybody there."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

import click

from toolkit.cli import show
from toolkit.cli.options import (
    Version,
    context_of,
    dist_option,
    key_option,
    model_options,
    stage_options,
    strict_option,
)
from toolkit.targets import ci, files
from toolkit.targets.files import TARGETS
from toolkit.targets.plan import UNRELEASED

_VERSION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


# Before all releases.
TRIAL = "0.0.0-ci"


def _check_version(_: click.Context, __: click.Parameter, value: Optional[str]) -> Optional[str]:
    """It is written into tags of images and labels of Kubernetes, which take this much."""
    if value is None:
        return None
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
@dist_option
@key_option
@strict_option
@click.option(
    "--version",
    "number",
    type=Version(),
    callback=_check_version,
    help="Semantic version to release, 1.4.0; without, the bundle is a trial, made anew in BUILD/MODEL/ci.",
)
@click.pass_context
def ci_command(
    command: click.Context, /, as_json: bool, dist: Path, number: Optional[str], **options: Any
) -> None:
    """Run here what the CI templates run, from export to the bundle; exits with the code of the step that fails."""
    staged = {name: value for name, value in options.items() if name not in ("key", "strict")}
    run = context_of(as_json=as_json, **staged)
    if number is None:
        number, dist = TRIAL, run.home / "ci"
        shutil.rmtree(dist, ignore_errors=True)
    given = {**options, "version": number, "dist": dist}
    done = []
    for step in ci.steps(run.spec.name):
        arguments = [*_places(options), *_words(given, step.takes)]
        run.console.say(f"{step.title}: toolkit {shlex.join([*step.arguments, *arguments])}")
        code = ci.run(step, arguments)
        done.append({"step": step.title, "command": step.command, "exit_code": code})
        if code != 0:
            break
    if as_json:
        bundle = str(dist / f"{run.spec.name}-{number}") if code == 0 else None
        show.as_json({"steps": done, "bundle": bundle, "exit_code": code})
    command.exit(code)


def _places(options: Mapping[str, Any]) -> list[str]:
    """What every step is told."""
    places = ["--pipelines", str(options["pipelines"]), "--build", str(options["build"])]
    return [*places, *(["-v"] if options["verbose"] else [])]


def _words(options: Mapping[str, Any], names: Iterable[str]) -> Iterator[str]:
    """Those of the options that were given, as they are written."""
    for name in names:
        if options[name] is True:
            yield f"--{name}"
        elif options[name] not in (None, False):
            yield from (f"--{name}", str(options[name]))
