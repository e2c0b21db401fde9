"""Rendering templates: an undefined variable or a wrong template is an error that names template, line and variable."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import jinja2
import yaml

from toolkit.errors import TemplateError

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


def render(name: str, directory: Path = TEMPLATES, **variables: Any) -> str:
    """The text of the template `name` (a path within `directory`).

    Raises:
        TemplateError: the template is missing, malformed, or uses a variable that is not there.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(directory)),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    try:
        return environment.get_template(name).render(**variables)
    except jinja2.TemplateNotFound as error:
        raise TemplateError(f"the template {error.name} is missing", where=str(directory)) from error
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(
            f"the template is malformed: {error.message}", where=f"{error.name or name}:{error.lineno}"
        ) from error
    except jinja2.UndefinedError as error:
        raise TemplateError(
            f"the template uses what is not there: {error.message}", where=_place(error, directory, name)
        ) from error
    except Exception as error:
        raise TemplateError(
            f"the template cannot be rendered: {type(error).__name__}: {error}",
            where=_place(error, directory, name),
        ) from error


def render_yaml(name: str, directory: Path = TEMPLATES, **variables: Any) -> tuple[str, Any]:
    """The text of a template, and what it says as YAML.

    Raises:
        TemplateError: also when the text is not valid YAML.
    """
    text = render(name, directory, **variables)
    try:
        return text, yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1} of the result" if mark else ""
        raise TemplateError(
            f"what the template renders is not valid YAML: {error}", where=f"{name}{line}"
        ) from error


def _place(error: BaseException, directory: Path, name: str) -> str:
    """The template, which may be an included one, and the line of it that was being rendered."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(directory)
    ]
    return f"{Path(frames[-1].filename).relative_to(directory)}:{frames[-1].lineno}" if frames else name
