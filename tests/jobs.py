"""What tests have child processes do: functions for `toolkit.child.call`."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from toolkit import child
from toolkit.child import Progress
from toolkit.errors import ModelError, ToolkitError, from_json

ROOT = Path(__file__).absolute().parent.parent

# For `child.call(env=...)`, so that the child finds this module wherever the tests are started.
ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
    "OMP_NUM_THREADS": "1",
}


def attempt_all(
    calls: Sequence[tuple[str, dict[str, Any]]], log: Path, env: Optional[Mapping[str, str]] = None
) -> list[Any]:
    """Make `calls` (function, arguments) in one child: the result of each, or the error that it raised."""
    outcomes = child.call("tests.jobs:attempt", {"calls": calls}, log=log, env={**ENVIRONMENT, **(env or {})})
    return [from_json(item["error"]) if "error" in item else item["result"] for item in outcomes]


def echo(value: Any, progress: Progress) -> Any:
    """Give back `value`."""
    del progress
    return value


def count(to: int, progress: Progress) -> int:
    """Report progress in steps of one."""
    for number in range(to):
        progress(number + 1, to)
    return to


def environment(name: str, progress: Progress) -> Optional[str]:
    """The value of an environment variable."""
    del progress
    return os.environ.get(name)


def server(progress: Progress) -> tuple[int, bool]:
    """The process that forked this one, and whether that had imported Paddle."""
    del progress
    return os.getppid(), "paddle" in sys.modules


def refuse(progress: Progress) -> None:
    """Raise an error of the toolkit."""
    del progress
    raise ModelError("it does not fit", where="model.pdmodel", remedy="take another")


def fail(progress: Progress) -> None:
    """Raise an error that nobody expects."""
    del progress
    raise ZeroDivisionError("one by nothing")


def give_nonsense(progress: Progress) -> object:
    """Return what JSON cannot carry."""
    del progress
    return object()


def leave(code: int, progress: Progress) -> None:
    """End the process without an answer."""
    del progress
    os._exit(code)


def crash(progress: Progress) -> None:
    """Die as a native library does: in the middle of its work."""
    progress(1, 2)
    print("about to crash", flush=True)
    os.abort()


def die(progress: Progress) -> None:
    """Die as the kernel has it when memory is out: without a word."""
    del progress
    os.kill(os.getpid(), signal.SIGKILL)


def leave_behind(pids: str, progress: Progress) -> int:
    """Start a process that would outlive this one, and return its id."""
    del progress
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(pids).write_text(str(sleeper.pid))
    return sleeper.pid


def work_long(pids: str, progress: Progress) -> None:
    """Work for a minute, with a process of its own beside it; writes both ids to the file `pids` first."""
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    partial = Path(f"{pids}.partial")
    partial.write_text(f"{os.getpid()} {sleeper.pid}")
    partial.replace(pids)
    progress(0, 1)
    time.sleep(60)


def wait_for(file: str, progress: Progress) -> None:
    """Work until the file is there."""
    del progress
    while not Path(file).exists():
        time.sleep(0.02)


def attempt(calls: list[tuple[str, dict[str, Any]]], progress: Progress) -> list[dict[str, Any]]:
    """Make several calls in this one process, since starting paddle takes seconds: `result` or `error` of each."""
    outcomes: list[dict[str, Any]] = []
    for function, arguments in calls:
        if "paddle" in sys.modules:
            # What reads programs leaves the static mode on, in which layers cannot be made.
            sys.modules["paddle"].disable_static()
        module, _, name = function.partition(":")
        try:
            outcomes.append(
                {"result": getattr(importlib.import_module(module), name)(**arguments, progress=progress)}
            )
        except ToolkitError as error:
            outcomes.append({"error": error.to_json()})
    return outcomes


def export_with_taken_names(directory: str, target: str, progress: Progress) -> dict[str, Any]:
    """Export a model of one input and one output under names that other tensors of it have already."""
    from toolkit.engines import export, files, program

    found = program.read(files.find(Path(directory)).model)
    signature = program.signature(found)
    outer = {name for group in signature.names for name in group} | {"feed", "fetch"}
    inner = [item.name for item in found.list_vars() if not item.persistable and item.name not in outer]
    parameter = next(item.name for item in found.list_vars() if item.persistable and item.name not in outer)
    shapes = {signature.inputs[0].name: [1, 3, 48, 192]}
    arguments = {"directory": directory, "model_file": None, "params_file": None, "progress": progress}
    Path(target, "inner").mkdir(parents=True)
    Path(target, "parameter").mkdir()
    plain = export.from_directory(target=f"{target}/inner", inputs=shapes, outputs=[inner[0]], **arguments)
    try:
        export.from_directory(target=f"{target}/parameter", inputs=shapes, outputs=[parameter], **arguments)
    except ModelError as error:
        return {
            "inner": inner[0],
            "signature": plain["signature"],
            "parameter": parameter,
            "error": error.to_json(),
        }
    raise AssertionError("a parameter was renamed")


def infer(model_dir: str, options: dict[str, Any], feed: str, progress: Progress) -> dict[str, Any]:
    """The outputs of one inference with the arrays of an .npz file, as lists."""
    del progress
    from toolkit.engines import model
    from toolkit.engines.options import PredictorOptions

    with np.load(feed) as arrays:
        outputs = model.load(Path(model_dir), PredictorOptions.from_json(options))(dict(arrays))
    return {name: array.tolist() for name, array in outputs.items()}


def where_temporary_files_go(progress: Progress) -> str:
    """The directory that `tempfile` uses."""
    import tempfile

    del progress
    return tempfile.gettempdir()
