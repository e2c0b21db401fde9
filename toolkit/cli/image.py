"""`toolkit image` and `image-build`: container images of the service, and of what builds a release."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import click

from toolkit.cli import bundled, show
from toolkit.cli.options import context_of, dist_option, model_options, stage_options
from toolkit.cli.targets import version_option
from toolkit.errors import SpecError
from toolkit.serving import release
from toolkit.stages import evaluate, render
from toolkit.stages.context import Context
from toolkit.targets import context, files, image
from toolkit.targets.plan import plan

_BASE = click.option(
    "--base", required=True, help="Image to begin with, by its digest: python:3.9-slim-bookworm@sha256:..."
)
_BUILDER = click.option(
    "--builder",
    type=click.Choice([item.program for item in image.BUILDERS]),
    help="Build with this; default: the first that works.",
)
# After `--`: what only one builder has, such as proxies, mounts or caches.
_FURTHER = click.argument("further", nargs=-1, type=click.UNPROCESSED)


@click.command("image")
@stage_options
@version_option
@_BASE
@_BUILDER
@click.option(
    "--release",
    "named",
    metavar="RELEASE",
    help="Put this release into it: a rendered one's directory, or what `toolkit release` made, as `deploy` takes it; "
    "default: that of --model, built where it has to be.",
)
@dist_option
@click.option("--paddle", is_flag=True, help="The base is Paddle's official image: Python 3.9 is added.")
@_FURTHER
def image_command(
    as_json: bool,
    version: str,
    base: str,
    builder: Optional[str],
    named: Optional[str],
    dist: Path,
    paddle: bool,
    further: tuple[str, ...],
    **options: Any,
) -> None:
    """Build the image of the service with docker, podman or buildah; OPTIONS after `--` go to the builder."""
    image.check_base(base)
    found = _find(builder)
    run = context_of(as_json=as_json, **options)
    directory = render.run(run, evaluate.run(run)).path if named is None else _release(named, dist, run)
    _check_target(directory, run)
    tag = f"{plan(run.spec).image}:{version}"
    dockerfile = _dockerfile(run, "Dockerfile.paddle" if paddle else "Dockerfile", version)
    run.home.mkdir(parents=True, exist_ok=True)
    engines = release.engines(directory)
    with context.assembled(
        run.spec.name, dockerfile, run.home, release=directory, engines=engines, hardware=run.spec.hardware
    ) as folder:
        _build(run, found, folder, tag, base, further)
    _tell(as_json, found, tag)


def _release(named: str, dist: Path, run: Context) -> Path:
    """The release that a user names: one that was rendered, or one of a version, verified."""
    directory = Path(named).resolve()
    if not (directory / release.RELEASE_FILE).is_file():
        return bundled.take(named, dist, None, run.spec.name).verified.place.release
    if (name := release.read(directory).name) != run.spec.name:
        raise SpecError(
            f"the release is one of {name}, not of {run.spec.name}",
            where=str(directory),
            remedy=f"give MODEL={name}, or another release",
        )
    return directory


def _check_target(directory: Path, run: Context) -> None:
    """The image has the packages of the spec's target, so the release has to be for that."""
    target = release.read(directory).target
    if target != run.spec.target:
        raise SpecError(
            f"the release is for {target}, the spec for {run.spec.target}",
            where=str(directory),
            remedy=f"write `target: {target}` into pipeline.yml, or give another release",
        )


@click.command("image-build")
@model_options
@version_option
@_BASE
@_BUILDER
@_FURTHER
def image_build(
    as_json: bool, version: str, base: str, builder: Optional[str], further: tuple[str, ...], **options: Any
) -> None:
    """Build the image of the build side: data in, a quantized and judged release out."""
    image.check_base(base)
    found = _find(builder)
    run = context_of(as_json=as_json, **options)
    tag = f"{plan(run.spec).image}-build:{version}"
    dockerfile = _dockerfile(run, "Dockerfile.build", version)
    run.home.mkdir(parents=True, exist_ok=True)
    with context.assembled(
        run.spec.name,
        dockerfile,
        run.home,
        spec=run.spec.directory,
        code=run.spec.data.code,
        engines=run.spec.engines,
    ) as folder:
        _build(run, found, folder, tag, base, further)
    _tell(as_json, found, tag)


def _find(program: Optional[str]) -> image.Builder:
    return image.find([item for item in image.BUILDERS if program in (None, item.program)])


def _dockerfile(run: Context, name: str, version: str) -> str:
    return next(
        text for path, text in files.render(run.spec, ["container"], version).items() if path.name == name
    )


def _build(
    run: Context, builder: image.Builder, folder: Path, tag: str, base: str, further: tuple[str, ...]
) -> None:
    with run.console.working("image", tag):
        image.build(builder, folder, tag, base, run.logs / "image.log", further)


def _tell(as_json: bool, builder: image.Builder, tag: str) -> None:
    if as_json:
        show.as_json({"image": tag, "builder": builder.program})
    else:
        click.echo(f"{tag} has been built by {builder.program}")
