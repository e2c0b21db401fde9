"""Writing a pipeline's folder from `templates/pipeline/`: all of it, or nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from toolkit import spec, templates
from toolkit.scaffold.plan import COPY, Plan, check_name
from toolkit.spec import schema

_FOLDER = "pipeline"
_SUFFIX = ".j2"


def write(plan: Plan, pipelines: Path) -> list[Path]:
    """Write the pipeline of `plan` into the folder `pipelines`, and read its spec as every command will.

    Returns:
        What is in it.

    Raises:
        SpecError: there is a folder of that name by now.
        TemplateError: a template is wrong.
    """
    target = pipelines / plan.name
    check_name(pipelines, plan.name)
    target.mkdir(parents=True)
    try:
        _fill(plan, target)
        spec.load(pipelines, plan.name)
    except BaseException:
        shutil.rmtree(target)
        raise
    return sorted(target.iterdir())


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
