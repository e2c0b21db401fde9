"""`toolkit schema` and `clean`: the project's own files."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from toolkit.cli.result import FILE as RESULT_FILE
from toolkit.errors import ServiceError
from toolkit.spec import schema as schemas
from toolkit.supervisor import lock
from toolkit.supervisor import state as states
from toolkit.tuning import trial

# What tells a pipeline's folder in the build directory.
_MARKS = ("logs", "run", "targets", RESULT_FILE, lock.LOCK_FILE)


@click.command("schema")
@click.option(
    "--print", "to_stdout", is_flag=True, help="Print it instead of writing it into the repository."
)
def schema(to_stdout: bool) -> None:
    """Write the JSON schema of pipeline.yml, which editors complete and check by."""
    click.echo(schemas.schema() if to_stdout else f"wrote {schemas.write()}", nl=not to_stdout)


@click.command("clean")
@click.option("--build", type=click.Path(path_type=Path), default=Path("build"), show_default=True)
@click.option("-v", "--verbose", is_flag=True, help="Name what is removed.")
def clean(build: Path, verbose: bool) -> None:
    """Remove everything that is built, and the tools' caches. Refuses while a service of it runs."""
    for home in sorted(build.glob("*")):
        current = states.running(home)
        if current is not None:
            raise ServiceError(
                f"{current.name} is running from {build}: process {current.pid}",
                remedy=f"`make stop MODEL={current.name}` first",
            )
        for tried in filter(None, map(states.running, trial.homes(home / trial.FOLDER / trial.SCRATCH))):
            raise ServiceError(
                f"a service that `make tune` tries is running from {build}: process {tried.pid}",
                remedy=f"wait for `make tune MODEL={tried.name}` to end; if that was killed, `kill {tried.pid}`",
            )
    _check_ours(build)
    for path in (build, Path(".mypy_cache"), Path(".ruff_cache"), Path(".pytest_cache")):
        if path.is_dir():
            shutil.rmtree(path)
            if verbose:
                click.echo(f"removed {path}")


def _check_ours(build: Path) -> None:
    """It holds the store, the site and pipelines' folders and nothing else, so that it may go as a whole."""
    for path in build.glob("*"):
        if path.name not in ("store", "site") and not any((path / name).exists() for name in _MARKS):
            raise ServiceError(
                f"{build} holds {path.name}, which the toolkit did not make, so it is not removed",
                remedy="give the BUILD= that you built with, or remove it yourself",
            )
