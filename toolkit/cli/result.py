"""`build/<model>/result.json`: what the last command came to, for programs; GNU make turns any failure into 2."""

from __future__ import annotations

import json
import os
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from toolkit import spec
from toolkit.errors import InconclusiveError, ToolkitError

FILE = "result.json"
INTERRUPTED, UNEXPECTED = 130, 70

Result = dict[str, Any]


class Failed(Exception):
    """A command that ended early, as its user is told.

    Attributes:
        error: the error as a JSON object, with its exit code.
        text: for people; empty where they have been told.
        result: what the command had found out, which programs are told with the error.
    """

    def __init__(self, error: Result, text: str) -> None:
        super().__init__(text)
        self.error, self.text = error, text
        self.result: Result = {}


def failure(error: BaseException) -> Failed:
    """What is told of any error: those of the toolkit, interruptions, and bugs, with the traceback in a file."""
    if isinstance(error, Failed):
        return error
    if isinstance(error, ToolkitError):
        return Failed(error.to_json(), str(error))
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        what = "interrupted; what was finished is kept"
        return Failed(_described(error, what, INTERRUPTED), what)
    what = f"unexpected error: {type(error).__name__}: {error}\n  where:  {_write_traceback(error)}"
    return Failed(_described(error, what, UNEXPECTED), what)


def _described(error: BaseException, message: str, code: int) -> Result:
    return {"error": type(error).__name__, "message": message, "exit_code": code}


def _write_traceback(error: BaseException) -> Path:
    """A bug of ours: the traceback goes to a file, to be reported."""
    with tempfile.NamedTemporaryFile("w", prefix="toolkit-", suffix=".log", delete=False) as file:
        traceback.print_exception(type(error), error, error.__traceback__, file=file)
    return Path(file.name)


@contextmanager
def recorded(command: str, model: str, pipelines: Path, build: Path, **_: Any) -> Iterator[Result]:
    """Around a command: what it puts into the result is written with its exit code, also when it fails.

    A name that belongs to no pipeline has no folder for a result.

    Args:
        command: its name; the rest are the options that every command has.

    Raises:
        Failed: for any error, with what the result had until then.
    """
    result: Result = {"command": command, "exit_code": 0}
    try:
        yield result
    except BaseException as error:
        failed = failure(error)
        result.update(exit_code=failed.error["exit_code"], error=failed.error)
        failed.result = result
        raise failed from error
    finally:
        if model in spec.available(pipelines):
            write(build.resolve() / model / FILE, result)


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
                "precision": entry["serving"]["precision"] if entry["serving"] else None,
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


def require_proof(evaluation: Any, report: str) -> None:
    """Refuse what would be served without being proven to keep its accuracy.

    Raises:
        InconclusiveError: there is something of that kind.
    """
    if is_inconclusive(evaluation):
        raise InconclusiveError(
            "the samples are too few to prove that what would be served keeps its accuracy",
            where=report,
            remedy="give more validation samples; the report says how many would decide",
        )


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
