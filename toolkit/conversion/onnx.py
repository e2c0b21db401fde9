"""ONNX models: converted by x2paddle, and kept where their answers are those of ONNX Runtime."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolkit import child, process
from toolkit.console import Console
from toolkit.conversion import environment
from toolkit.engines.inspection import Inspection
from toolkit.engines.signature import Signature
from toolkit.errors import ChildError, ModelError
from toolkit.store import digest
from toolkit.store.artifact import Key, Store

LOCK = Path(__file__).resolve().parents[2] / "requirements-onnx.lock"

_SCRIPT = Path(__file__).with_name("isolated.py")
_STAGE = "onnx"


@dataclass(frozen=True)
class Converted:
    """
    Attributes:
        directory: with `model.pdmodel` and `model.pdiparams`.
        source: the ONNX file.
        sha256: of that file.
        info: what the conversion reported, see `isolated.py`.
    """

    directory: Path
    source: Path
    sha256: str
    info: Mapping[str, Any]

    @property
    def origin(self) -> str:
        """Of what the Paddle model was made, and by what, for files that people read."""
        versions = self.info["versions"]
        name = "".join(char if char.isprintable() else "?" for char in self.source.name)
        return f"from {name} (SHA-256 {self.sha256}) by x2paddle {versions['x2paddle']}" + (
            ", for the sizes below alone" if self.info["fixed"] else ""
        )

    def compared(self) -> list[str]:
        """What came of the comparison, line by line."""
        runtime = f"ONNX Runtime {self.info['versions']['onnxruntime']}"
        lines = []
        for trial in self.info["trials"]:
            shapes = ", ".join(f"{name} {list(shape)}" for name, shape in trial["shapes"].items())
            if "skipped" in trial:
                lines.append(f"{runtime} itself does not take {shapes}: not compared")
            else:
                most = max(trial["differences"].values())
                lines.append(f"as {runtime}, to {most:.1g} of the largest value, with {shapes}")
        return lines

    def notes(self) -> list[str]:
        """What a user should know of the conversion."""
        lines = []
        if self.info["fixed"]:
            lines.append(f"for these sizes alone, since with open ones: {self.info['fixed']}")
        declared, known = self.info["opset"]
        if declared != known:
            lines.append(f"operator set {declared} was converted as {known}, the newest that x2paddle knows")
        return lines

    def named(self, found: Inspection) -> Inspection:
        """What was found of the Paddle model, with the names that the ONNX model has for inputs and outputs."""
        outputs = zip(found.signature.outputs, self.info["outputs"])
        signature = Signature(
            tuple(replace(item, name=self.info["inputs"][item.name]) for item in found.signature.inputs),
            tuple(replace(item, name=name) for item, name in outputs),
        )
        return replace(found, signature=signature)


def convert(
    found: Inspection,
    trials: Sequence[Mapping[str, Sequence[int]]],
    store: Store,
    logs: Path,
    console: Console,
) -> Converted:
    """The ONNX model `found` as a Paddle model, from the store or converted now.

    Args:
        trials: shapes of all inputs, for each comparison with ONNX Runtime.
        logs: directory for what the converter prints, and the making of its environment.

    Raises:
        ModelError: it cannot be converted, or its answers differ from those of ONNX Runtime; a file or the lock is
            missing.
        ChildError: the converter died, or its environment cannot be made.
    """
    if not LOCK.is_file():
        raise ModelError(
            "ONNX models are converted in a checkout of the toolkit only: here is no lock of what converts them",
            where=str(LOCK),
            remedy="run `make new` in a checkout, and bring the pipeline's folder, which is complete",
        )
    source = Path(found.program)
    files = {name: digest.of_file(path) for name, path in _files(found).items()}
    key = Key(
        _STAGE,
        "model",
        {
            "files": files,
            "trials": [{name: list(shape) for name, shape in trial.items()} for trial in trials],
            "lock": digest.of_file(LOCK),
            "code": digest.of_code(_SCRIPT),
        },
    )
    made = store.get(key)
    if made is None:
        python = environment.ensure(store, LOCK, logs / "environment.log", console)

        def build(directory: Path) -> Mapping[str, Any]:
            order = {"model": str(source.resolve()), "target": str(directory), "trials": trials}
            with console.working("convert", "onnx"):
                return _run(python, order, source, logs / "onnx.log")

        made = store.build(key, build)
    return Converted(made.path, source, files[source.name], made.info)


def _files(found: Inspection) -> dict[str, Path]:
    """The model's file, and those with weights beside it, by their names.

    Raises:
        ModelError: one is missing.
    """
    source = Path(found.program)
    paths = {name: source.parent / name for name in (source.name, *found.external)}
    for name, path in paths.items():
        if not path.is_file():
            raise ModelError(
                f"the model's file {name} is missing, which holds weights",
                where=str(path),
                remedy="copy it with the .onnx file, or export the model again",
            )
    return paths


def _run(python: Path, order: Mapping[str, Any], source: Path, log: Path) -> Mapping[str, Any]:
    """What the script answers, run by the interpreter of its environment."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".onnx-", dir=log.parent) as scratch, log.open("wb") as output:
        request, answer = Path(scratch) / "request.json", Path(scratch) / "answer.json"
        request.write_text(json.dumps(order), encoding="utf-8")
        argv = [str(python), "-I", "-u", str(_SCRIPT), str(request), str(answer)]
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
        raise ModelError(
            told["refused"]["message"], where=str(source), remedy=f"{told['refused']['remedy']}. Log: {log}"
        )
    result: Mapping[str, Any] = told
    return result


def _died(code: int, log: Path) -> ChildError:
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return ChildError(
        f"the converter {how} without an answer; its last lines:\n{child.tail(log)}",
        where=str(log),
        remedy="the whole output is in the log file; out of memory is the usual reason for SIGKILL",
    )
