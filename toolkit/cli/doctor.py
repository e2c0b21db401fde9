"""`toolkit doctor`: say what this machine lacks for a deployment, what that means and what to do."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Optional

import click

from toolkit import doctor as checks
from toolkit import spec as specs
from toolkit.cli.options import PIPELINES
from toolkit.errors import ServiceError
from toolkit.serving import cpp
from toolkit.spec import PipelineSpec
from toolkit.supervisor import state as states

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command("doctor")
@click.option(
    "--host", default=checks.HOST, show_default=True, help="Address that a service would listen on."
)
@click.option("--http-port", type=click.IntRange(1, 65535), default=checks.HTTP_PORT, show_default=True)
@click.option("--grpc-port", type=click.IntRange(1, 65535), default=checks.GRPC_PORT, show_default=True)
@click.option("--build", type=click.Path(path_type=Path), default=Path("build"), show_default=True)
@click.option("--model", help="Also look for what this pipeline's `target` and `cpp` need.")
@click.option("--pipelines", type=click.Path(path_type=Path), default=PIPELINES, envvar="TOOLKIT_PIPELINES")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")
@click.option("-v", "--verbose", is_flag=True, help="Log the commands that are run, to stderr.")
@click.pass_context
def doctor(
    context: click.Context,
    host: str,
    http_port: int,
    grpc_port: int,
    build: Path,
    model: Optional[str],
    pipelines: Path,
    as_json: bool,
    verbose: bool,
) -> None:
    """Check what a deployment needs. Exits with 1 if one could not work here."""
    if verbose:
        logging.basicConfig(level=logging.DEBUG)
    own = _of_pipeline(specs.load(pipelines, model)) if model is not None else []
    found = [_known_port(check, build) for check in checks.examine(host, http_port, grpc_port, build)] + own
    failed = any(check.status == "fail" for check in found)
    if as_json:
        told = {"checks": [asdict(check) for check in found], "not_verified": checks.not_verified()}
        click.echo(json.dumps({"ok": not failed, **told}, indent=2))
    else:
        for check in found:
            _show(check)
        click.echo(_summary(found))
        click.echo(f"never run, so not verified: {'; '.join(checks.not_verified())}")
    context.exit(1 if failed else 0)


def _of_pipeline(spec: PipelineSpec) -> list[checks.Check]:
    """What it needs beside what all pipelines do."""
    found = [checks.check_target(spec.hardware)]
    if spec.cpp is not None:
        found.append(_check_binary(spec.cpp.binary_sha256))
    return found


def _check_binary(sha256: str) -> checks.Check:
    """Whether the C++ server's binary is there."""
    try:
        path = cpp.binary(sha256)
    except ServiceError as error:
        meaning = "The C++ server cannot be started."
        return checks.Check("cpp", "fail", error.message, meaning, error.remedy or "")
    return checks.Check(
        "cpp", "warn", f"{path} has the digest of the spec", "Nobody has run the toolkit with a C++ server."
    )


def _known_port(check: checks.Check, build: Path) -> checks.Check:
    """A port that our own service holds is as it should be."""
    if check.status == "ok" or not check.name.endswith(" port"):
        return check
    for home in sorted(build.glob("*")):
        current = states.running(home)
        ports = (
            {f"{current.host}:{port}" for port in (current.http_port, current.grpc_port)}
            if current
            else set()
        )
        if current is not None and check.found.split()[0] in ports:
            return checks.Check(check.name, "ok", f"held by {current.name}, process {current.pid}", "", "")
    return check


def _show(check: checks.Check) -> None:
    status = click.style(f"{check.status:<5}", fg=COLOURS[check.status])
    click.echo(f"{status} {check.name:<28} {check.found}")
    if check.meaning:
        click.echo(f"      means:  {check.meaning}")
    if check.remedy:
        click.echo(f"      remedy: {check.remedy}")


def _summary(found: list[checks.Check]) -> str:
    counts = Counter(check.status for check in found)
    return f"{len(found)} checks: {counts['ok']} ok, {counts['warn']} warn, {counts['fail']} fail"
