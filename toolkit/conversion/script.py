"""Runs a conversion in its own environment: `isolated/`, which imports nothing of the toolkit; its result is kept."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit import child, process
from toolkit.console import Console
from toolkit.conversion import environment
from toolkit.errors import ChildError, ModelError
from toolkit.store import digest
from toolkit.store.artifact import Artifact, Key, Store

SCRIPT = Path(__file__).with_name("isolated")

Trials = Sequence[Mapping[str, Sequence[int]]]


@dataclass(frozen=True)
class Work:
    """
    Attributes:
        kind: of models that are converted: `onnx`, `pir`; also that of the log and of the artifact.
        lock: of the environment.
        source: the user's file, which errors name.
        arguments: the model's files by the names that the script has for them.
        files: SHA-256 of all the model's files, by their names.
        trials: shapes of all inputs, for each comparison of answers.
        otherwise: what to do about a model that cannot be converted.
    """

    kind: str
    lock: Path
    source: Path
    arguments: Mapping[str, Path]
    files: Mapping[str, str]
    trials: Trials
    otherwise: str


def done(work: Work, store: Store, logs: Path, console: Console) -> Artifact:
    """What the conversion made, from the store or made now; its `info` is what the script answers.

    Args:
        logs: directory for what the converter prints, and the making of its environment.

    Raises:
        ModelError: the model cannot be converted, or answers differ; the lock is missing.
        ChildError: the converter died, or its environment cannot be made.
    """
    if not work.lock.is_file():
        raise ModelError(
            "models of other kinds are converted in a checkout of the toolkit only: here is no lock of what "
            "converts them",
            where=str(work.lock),
            remedy="run `make new` in a checkout, and bring the pipeline's folder, which is complete",
        )
    key = Key(
        work.kind,
        "model",
        {
            "files": dict(work.files),
            "trials": [{name: list(shape) for name, shape in trial.items()} for trial in work.trials],
            "lock": digest.of_file(work.lock),
            "code": digest.of_code(SCRIPT),
        },
    )
    made = store.get(key)
    if made is not None:
        return made
    python = environment.ensure(store, work.lock, logs / f"{work.kind}-environment.log", console)

    def build(directory: Path) -> Mapping[str, Any]:
        with console.working("convert", work.kind):
            return _run(python, work, directory, logs / f"{work.kind}.log")

    return store.build(key, build)


def _run(python: Path, work: Work, target: Path, log: Path) -> Mapping[str, Any]:
    """What the script answers, run by the interpreter of its environment."""
    paths = {name: str(path.resolve()) for name, path in work.arguments.items()}
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=f".{work.kind}-", dir=log.parent) as scratch,
        log.open("wb") as output,
    ):
        request, answer = Path(scratch) / "request.json", Path(scratch) / "answer.json"
        order = {**paths, "target": str(target), "trials": work.trials}
        request.write_text(json.dumps(order), encoding="utf-8")
        argv = [str(python), "-I", "-u", str(SCRIPT), work.kind, str(request), str(answer)]
        variables = {**environment.ISOLATED, "GLOG_minloglevel": "2", "TMPDIR": scratch}
        running = process.start(
            argv, env=variables, cwd=Path(scratch), stdout=output, stderr=subprocess.STDOUT
        )
        try:
            code = running.wait()
        finally:
            process.stop_group(running.pid, grace=0)
            running.wait()
        told = json.loads(answer.read_text(encoding="utf-8")) if answer.is_file() else None
    if told is None:
        raise _died(code, log)
    if "refused" in told:
        remedy = told["refused"]["remedy"] or work.otherwise
        raise ModelError(told["refused"]["message"], where=str(work.source), remedy=f"{remedy}. Log: {log}")
    result: Mapping[str, Any] = told
    return result


def _died(code: int, log: Path) -> ChildError:
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return ChildError(
        f"the converter {how} without an answer; its last lines:\n{child.tail(log)}",
        where=str(log),
        remedy="the whole output is in the log file; out of memory is the usual reason for SIGKILL",
    )
