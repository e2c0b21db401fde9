"""`toolkit release`, `releases`, `verify`, `diff`, `keygen`: releases of a version."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Optional

import click

from toolkit.bundle import catalog, place, signature, verify
from toolkit.bundle import diff as differences
from toolkit.cli import differ, show
from toolkit.cli import result as results
from toolkit.cli.options import (
    Version,
    context_of,
    dist_option,
    json_option,
    key_option,
    stage_options,
    strict_option,
)
from toolkit.errors import ReleaseError
from toolkit.stages import bundle, evaluate, report


@click.command("release")
@stage_options
@dist_option
@key_option
@click.option("--version", "number", type=Version(), required=True, help="Semantic version: 1.4.0.")
@strict_option
def release(
    as_json: bool, dist: Path, key: Optional[Path], number: str, strict: bool, **options: Any
) -> None:
    """Make the bundle of a version: DIST/MODEL-VERSION/, the same as .tar.zst, its seal and, with --key, its signature.

    Runs the stages whose input has changed, up to `render`. Exits as `evaluate` does where the gate lets nothing be
    served, and with 12 if the version is there already with other content; the same content again changes nothing.
    """
    with results.recorded("release", **options) as result:
        context = context_of(as_json=as_json, **options)
        outcome = evaluate.run(context)
        result.update(verdict=results.summary(outcome.result), report=str(report.run(outcome)))
        outcome.require()
        if strict:
            results.require_proof(outcome.result, result["report"])
        made = bundle.run(context, outcome, number, dist, key)
        result.update(
            release=made.place.title,
            directory=str(made.place.directory),
            archive=str(made.place.archive),
            sha256=made.seal["archive"],
            signer=made.seal["signer"],
            new=made.new,
        )
    if as_json:
        show.as_json({"ran": context.console.ran, **result})
        return
    click.echo(show.verdict(outcome.result))
    click.echo(f"report: {result['report']}")
    told = "is made" if made.new else "was there already, the same to the byte"
    click.echo(f"\n{made.place.title} {told}\n  {made.place.directory}\n  {made.place.archive}")
    click.echo(f"  {_signed(made.seal['signer'])}")


@click.command("releases")
@dist_option
@json_option
def releases(dist: Path, as_json: bool) -> None:
    """List the releases that are there, each with what it serves and what that loses; `verify` looks at their files."""
    found = catalog.bundles(dist)
    if as_json:
        show.as_json({"releases": [asdict(item) for item in found]})
    elif not found:
        click.echo(f"no release in {dist}; `make release MODEL=ocr VERSION=1.0.0` makes one")
    for item in [] if as_json else found:
        click.echo(_line(item))


def _line(item: catalog.Entry) -> str:
    title = f"{item.name}-{item.version}"
    if item.problem is not None:
        return f"{title:<20} DAMAGED: {item.problem}"
    models = ", ".join(f"{name} {precision}" for name, precision in (item.precisions or {}).items())
    drop = f"{item.drop:+.2f} points" if item.drop is not None else ""
    signed = f"signed by {item.signer[:16]}" if item.signer else "not signed"
    return f"{title:<20} {item.created or 'not sealed':<21} {models:<24} {drop:<13} {signed}"


@click.command("verify")
@click.argument("named", metavar="RELEASE")
@dist_option
@key_option
@json_option
def verify_command(named: str, dist: Path, key: Optional[Path], as_json: bool) -> None:
    """Compare a release with its manifest, its seal and its signature; any byte that differs is an error, exit code 12.

    RELEASE is its directory, its archive, or its name in --dist. With --key it must be signed by that key; without, a
    signature must be right, whosever it is, which finds damage and no forgery.
    """
    found = verify.check(place.find(named, dist), key)
    told = {
        "release": found.place.title,
        "files": len(found.manifest["files"]) if found.manifest else None,
        "signer": found.signer,
        "sealed": found.seal is not None,
    }
    if as_json:
        show.as_json(told)
        return
    what = f"{told['files']} files" if told["files"] is not None else "the archive"
    sealed = _signed(found.signer) if found.seal else "without a seal: nobody says when it was made"
    click.echo(f"{found.place.title} is as it was released: {what}, {sealed}")


def _signed(signer: Optional[str]) -> str:
    return f"signed by {signer}" if signer else "not signed"


@click.command("diff")
@click.argument("before")
@click.argument("after")
@dist_option
@json_option
def diff(before: str, after: str, dist: Path, as_json: bool) -> None:
    """Say what changed from one release to another: models, accuracy, latency, configs, packages.

    BEFORE and AFTER are directories, or names in --dist; their manifests are believed, see `verify`.
    """
    found = differences.compare(*(_unpacked(place.find(named, dist)) for named in (before, after)))
    if as_json:
        show.as_json(found)
    else:
        click.echo(differ.text(found))


def _unpacked(found: place.Place) -> place.Place:
    if not found.manifest.is_file():
        raise ReleaseError(
            f"of {found.title} there is the archive only",
            where=str(found.archive),
            remedy=f"unpack it: tar --zstd -xf {found.archive.name}",
        )
    return found


@click.command("keygen")
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    required=True,
    envvar="TOOLKIT_RELEASE_KEY",
    help="File of the private key to write; the public one gets .pub behind it.",
)
@json_option
def keygen(key: Path, as_json: bool) -> None:
    """Make a key (Ed25519) to sign releases with. Keep KEY to yourself; give KEY.pub to whoever verifies."""
    public = signature.generate(key)
    if as_json:
        show.as_json({"private": str(key), "public": str(public), "signer": signature.signer(public)})
    else:
        click.echo(f"wrote {key} (keep it) and {public} (give it away)")
