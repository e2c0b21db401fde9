"""The files of each target, rendered from `templates/` by a pipeline's spec; whole folders, replaced as a whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from toolkit import templates
from toolkit.errors import SpecError, TemplateError
from toolkit.spec.pipeline import PipelineSpec
from toolkit.targets import ci, packages
from toolkit.targets.plan import UNRELEASED, plan

TARGETS = ("container", "kubernetes", "kserve", "argo", "systemd", "proxy", "ci")

Files = Mapping[PurePosixPath, str]

# In the name of a template it stands for the pipeline's; names that begin with _ are parts of other templates.
_NAME, _SUFFIX, _PART = "NAME", ".j2", "_"


def render(spec: PipelineSpec, targets: Iterable[str] = TARGETS, version: str = UNRELEASED) -> Files:
    """The text of each file, by its path below the folder of all targets.

    Raises:
        SpecError: the C++ server serves, which has none of the pages that a front door has.
        TemplateError: a template cannot be rendered, or what should be YAML is none.
    """
    if spec.cpp is not None:
        raise SpecError(
            "what is rendered asks a front door whether it is well, and the C++ server has none",
            remedy="leave `cpp` out of pipeline.yml to render targets",
        )
    values = plan(spec, version)
    variables: dict[str, Any] = {
        "spec": spec,
        "plan": values,
        "targets": spec.targets,
        "hardware": spec.hardware,
        "steps": ci.steps(spec.name),
        "uv": packages.version("uv"),
    }
    found: dict[PurePosixPath, str] = {}
    for name in (name for target in targets for name in _templates(target)):
        path = PurePosixPath(name.removesuffix(_SUFFIX).replace(_NAME, values.label))
        found[path] = templates.render(name, templates.TEMPLATES, **variables)
        if path.suffix == ".yml":
            _check_documents(name, found[path])
    return found


def _templates(target: str) -> list[str]:
    folder = templates.TEMPLATES / target
    paths = (path for path in folder.rglob(f"*{_SUFFIX}") if not path.name.startswith(_PART))
    return sorted(path.relative_to(templates.TEMPLATES).as_posix() for path in paths)


def _check_documents(name: str, text: str) -> None:
    try:
        empty = not all(isinstance(document, dict) for document in yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise TemplateError(f"what the template renders is not valid YAML: {error}", where=name) from error
    if empty:
        raise TemplateError("what the template renders has a document that is no mapping", where=name)


def write(files: Files, directory: Path) -> list[Path]:
    """Put the files below `directory`, in the place of whatever the folders of their targets held."""
    for target in {path.parts[0] for path in files}:
        if (directory / target).exists():
            shutil.rmtree(directory / target)
    written = []
    for path, text in sorted(files.items()):
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        written.append(file)
    return written
