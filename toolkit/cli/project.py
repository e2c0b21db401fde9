"""`toolkit schema` and `clean`: the project's own files."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from toolkit.errors import ServiceError
from toolkit.spec import schema as schemas
from toolkit.supervisor import state as states


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
    for path in (build, Path(".mypy_cache"), Path(".ruff_cache"), Path(".pytest_cache")):
        if path.is_dir():
            shutil.rmtree(path)
            if verbose:
                click.echo(f"removed {path}")
