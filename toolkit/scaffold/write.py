"""Writing a pipeline's folder from `templates/pipeline/`: all of it, or nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolkit import spec, templates
from toolkit.errors import SpecError
from toolkit.scaffold.plan import COPY, Plan, check_name
from toolkit.spec import schema

_FOLDER = "pipeline"
_SUFFIX = ".j2"


def write(plan: Plan, pipelines: Path) -> list[Path]:
    """Write the pipeline of `plan` into the folder `pipelines`, and read its spec as every command will.

    Returns:
        What is in it.

    Raises:
        SpecError: there is a folder of that name by now, or none can be written there.
        TemplateError: a template is wrong.
    """
    target = pipelines / plan.name
    check_name(pipelines, plan.name)
    try:
        with _whole(target):
            _fill(plan, target)
            spec.load(pipelines, plan.name)
    except OSError as error:
        raise SpecError(
            f"the pipeline cannot be written: {error.strerror or error}",
            where=str(error.filename or target),
            remedy="make room, or see who may write there; --pipelines names another folder",
        ) from error
    return sorted(target.iterdir())


@contextmanager
def _whole(target: Path) -> Iterator[None]:
    """A new folder, gone again if what is done in it fails or is interrupted."""
    target.mkdir(parents=True)
    try:
        yield
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _fill(plan: Plan, target: Path) -> None:
    folder = f"{_FOLDER}/{plan.kind}"
    variables: dict[str, Any] = {
        "plan": plan,
        "schema": os.path.relpath(schema.SCHEMA_FILE, target.resolve()),
    }
    for path in sorted((templates.TEMPLATES / folder).glob(f"*{_SUFFIX}")):
        text = templates.render(f"{folder}/{path.name}", **variables)
        (target / path.name.removesuffix(_SUFFIX)).write_text(text, encoding="utf-8")
    if plan.copied:
        _copy(Path(plan.found.program), Path(str(plan.found.weights)), target / COPY)


def _copy(program: Path, weights: Path, target: Path) -> None:
    if weights.is_dir():
        shutil.copytree(weights, target)
        return
    target.mkdir()
    for file in (program, weights):
        shutil.copyfile(file, target / file.name)
