"""`build/<model>/result.json`: what the last command came to, for programs; GNU make turns any failure into 2."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolkit.errors import ToolkitError

FILE = "result.json"

Result = dict[str, Any]


@contextmanager
def recorded(home: Path, command: str) -> Iterator[Result]:
    """Around a command: what it puts into the result is written with its exit code, also when it fails."""
    result: Result = {"command": command, "exit_code": 0}
    try:
        yield result
    except ToolkitError as error:
        result.update(exit_code=error.exit_code, error=error.to_json())
        raise
    except BaseException as error:
        result.update(exit_code=None, error={"error": type(error).__name__, "message": str(error)})
        raise
    finally:
        write(home / FILE, result)


def write(path: Path, data: Any) -> None:
    """Write JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(data, indent=2, ensure_ascii=False), encoding="utf-8")
    partial.replace(path)


def summary(evaluation: Any) -> Result:
    """The verdict in short: for each model what is served and how sure that is."""
    return {
        "passed": evaluation["passed"],
        "inconclusive": is_inconclusive(evaluation),
        "reason": evaluation["reason"],
        "models": {
            name: {
                "served": entry["chosen"],
                "precision": entry["serving"]["precision"],
                "verdict": next(
                    (row["verdict"] for row in entry["candidates"] if row["label"] == entry["chosen"]), None
                ),
                "sentence": entry["sentence"],
            }
            for name, entry in evaluation["models"].items()
        },
        "end_to_end": evaluation["end_to_end"],
    }


def essentials(evaluation: Any) -> Result:
    """The evaluation without what fills the report: races, layers, histograms and the gallery."""
    kept = ("metric", "chosen", "serving", "sentence", "would_take", "candidates", "levels")
    models = {
        name: {key: entry[key] for key in kept if key in entry}
        for name, entry in evaluation["models"].items()
    }
    return {**{key: evaluation[key] for key in ("data", "gate", "end_to_end")}, "models": models}


def is_inconclusive(evaluation: Any) -> bool:
    """Whether something that is served was not proven to keep its accuracy, or what failed not to lose it."""
    if not evaluation["passed"]:
        return bool(evaluation["inconclusive"])
    chosen = [
        row["verdict"]
        for entry in evaluation["models"].values()
        for row in entry["candidates"]
        if row["label"] == entry["chosen"] and row["label"] != "native"
    ]
    found = [*chosen, evaluation["end_to_end"]["verdict"]]
    return any(item is not None and item.get("outcome") == "inconclusive" for item in found)
