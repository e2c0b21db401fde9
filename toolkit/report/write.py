"""Writes the report: `index.html` to read, `report.json` for programs; each is there whole, or as it was before."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from toolkit import templates
from toolkit.report import advice, outcomes
from toolkit.report.page import page

PAGE, DATA = "index.html", "report.json"
TEMPLATE = "report/index.html.j2"


def write(evaluation: Mapping[str, Any], directory: Path, images: Optional[Path] = None) -> Path:
    """Write the report of `evaluation` to `directory`.

    Args:
        evaluation: what the stage evaluate came to; whatever is null or missing is left out.
        images: where the images of the gallery lie, if the evaluation names them by relative paths.

    Returns:
        The page.

    Raises:
        TemplateError: the page's template is broken.
    """
    contents = {
        PAGE: templates.render(TEMPLATE, page=page(_placed(evaluation, images))),
        DATA: json.dumps(as_json(evaluation), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
    }
    directory.mkdir(parents=True, exist_ok=True)
    partials = {name: directory / f".{name}.{os.getpid()}" for name in contents}
    try:
        for name, content in contents.items():
            partials[name].write_text(content, encoding="utf-8", errors="replace")
        for name, partial in partials.items():
            partial.replace(directory / name)
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)
    return directory / PAGE


def _placed(evaluation: Mapping[str, Any], images: Optional[Path]) -> Mapping[str, Any]:
    if images is None:
        return evaluation
    gallery = [{**item, "image": str(images / item["image"])} for item in evaluation["gallery"]]
    return {**evaluation, "gallery": gallery}


def as_json(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The evaluation, with the verdict and the advice of the page under `report`; what is no number is null."""
    found: dict[str, Any] = _without_nan(evaluation)
    return {
        **found,
        "report": {
            "outcome": outcomes.outcome(evaluation),
            "sentence": outcomes.sentence(evaluation),
            "advice": [item.to_json() for item in advice.advise(evaluation)],
        },
    }


def _without_nan(value: Any) -> Any:
    """JSON knows neither NaN nor infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value
