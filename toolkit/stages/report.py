"""report: the evaluation for people and for programs, in `build/<model>/report/`."""

from __future__ import annotations

from pathlib import Path

from toolkit.report import write
from toolkit.stages.evaluate import Outcome


def run(outcome: Outcome) -> Path:
    """Write the report of an evaluation, passed or not; its page.

    Raises:
        TemplateError: the page's template is broken.
    """
    return write.write(outcome.result, outcome.context.home / "report")
