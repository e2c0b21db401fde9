"""report: the evaluation for people and for programs, in `build/<model>/report/`."""

from __future__ import annotations

import json
from pathlib import Path

from toolkit import templates
from toolkit.stages import device
from toolkit.stages.context import PACKAGE
from toolkit.stages.evaluate import Outcome
from toolkit.store import digest

_PAGE, _DATA = "index.html", "report.json"


def run(outcome: Outcome) -> Path:
    """Write the report of an evaluation, passed or not, unless it is there already; its page.

    Raises:
        TemplateError: the page's template is broken.
    """
    directory = outcome.context.home / "report"
    spec = outcome.context.spec
    made_from = {
        "evaluation": outcome.artifact.key,
        "target": [spec.target, spec.device.precision],
        "code": digest.of_code(PACKAGE / "report"),
        "templates": digest.of_tree(templates.TEMPLATES / "report"),
    }
    if _made_from(directory) == made_from:
        return directory / _PAGE
    # Not before it is needed: drawing plots takes seconds to import.
    from toolkit.report import write

    return write.write({**device.noted(spec, outcome.result), "made_from": made_from}, directory)


def _made_from(directory: Path) -> object:
    """What the report that is there was made from; None: there is none that is whole."""
    try:
        found = json.loads((directory / _DATA).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found.get("made_from") if (directory / _PAGE).is_file() else None
