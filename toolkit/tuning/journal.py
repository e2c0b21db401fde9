"""What was measured, a JSON line each, so that a run that was broken off goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit.store import durable
from toolkit.tuning.results import Result

_CONDITIONS, _FINISHED = "conditions", "finished"


class Journal:
    """The journal of one run.

    What an earlier run left is taken up if it was broken off and was measured under the same conditions; else it makes
    way.

    Args:
        conditions: all that the results depend on beside the configuration; JSON.
    """

    def __init__(self, path: Path, conditions: Mapping[str, Any]) -> None:
        self._path = path
        lines = _lines(path)
        same = bool(lines) and lines[0].get(_CONDITIONS) == json.loads(json.dumps(conditions))
        if not same or any(_FINISHED in line for line in lines):
            lines = []
            durable.write(path, json.dumps({_CONDITIONS: conditions}) + "\n")
        self.results: list[Result] = [Result.from_json(line) for line in lines[1:]]
        self.resumed = len(self.results)

    def add(self, result: Result) -> None:
        """Keep a result; it is on disk when this returns."""
        self.results.append(result)
        durable.append(self._path, json.dumps(result.to_json()))

    def finish(self) -> None:
        """The next run begins anew."""
        durable.append(self._path, json.dumps({_FINISHED: True}))


def _lines(path: Path) -> list[dict[str, Any]]:
    """Those that can be read: the last one may be torn."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found
