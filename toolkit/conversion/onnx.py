"""ONNX models: converted by x2paddle, and kept where their answers are those of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

from toolkit.console import Console
from toolkit.conversion import script
from toolkit.conversion.script import Trials, Work
from toolkit.engines.inspection import Inspection
from toolkit.engines.signature import Signature
from toolkit.errors import ModelError
from toolkit.store import digest
from toolkit.store.artifact import Store

LOCK = Path(__file__).resolve().parents[2] / "requirements-onnx.lock"

_OTHERWISE = (
    "export the network from its framework again, with operator set 13 and fixed sizes (x2paddle knows the sets 7 to "
    "15); or from Paddle, with paddle.jit.save"
)


@dataclass(frozen=True)
class Converted:
    """
    Attributes:
        directory: with `model.pdmodel` and `model.pdiparams`.
        source: the ONNX file, or the program of Paddle 3 that it was made of.
        sha256: of that file.
        info: what the conversion reported, see `isolated/converters/from_onnx.py`; also `pir`, what
            `from_pir.py` beside it reported before, of a program of Paddle 3.
    """

    directory: Path
    source: Path
    sha256: str
    info: Mapping[str, Any]

    @property
    def origin(self) -> str:
        """Of what the Paddle model was made, and by what, for files that people read."""
        name = "".join(char if char.isprintable() else "?" for char in self.source.name)
        by = f"x2paddle {self.info['versions']['x2paddle']}"
        if "pir" in self.info:
            versions = self.info["pir"]["versions"]
            by = f"paddle2onnx {versions['paddle2onnx']} with Paddle {versions['paddlepaddle']}, and {by}"
        limit = ", for the sizes below alone" if self.info["fixed"] else ""
        return f"from {name} (SHA-256 {self.sha256}) by {by}{limit}"

    def compared(self) -> list[str]:
        """What came of the comparisons, line by line."""
        runtime = f"ONNX Runtime {self.info['versions']['onnxruntime']}"
        if "pir" not in self.info:
            return _compared(runtime, self.info["trials"])
        paddle = f"Paddle {self.info['pir']['versions']['paddlepaddle']}"
        first = [f"ONNX: {line}" for line in _compared(paddle, self.info["pir"]["trials"])]
        return first + [f"result: {line}" for line in _compared(runtime, self.info["trials"])]

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
    trials: Trials,
    store: Store,
    logs: Path,
    console: Console,
    source: Optional[Path] = None,
    otherwise: str = _OTHERWISE,
) -> Converted:
    """The ONNX model `found` as a Paddle model, from the store or converted now.

    Args:
        trials: shapes of all inputs, for each comparison with ONNX Runtime.
        logs: directory for what the converter prints, and the making of its environment.
        source: the user's file, if the ONNX model was made of that.
        otherwise: what to do about a model that cannot be converted.

    Raises:
        ModelError: it cannot be converted, or its answers differ from those of ONNX Runtime; a file or the lock is
            missing.
        ChildError: the converter died, or its environment cannot be made.
    """
    path = Path(found.program)
    files = {name: digest.of_file(path) for name, path in _files(found).items()}
    work = Work("onnx", LOCK, source or path, {"model": path}, files, trials, otherwise)
    made = script.done(work, store, logs, console)
    return Converted(made.path, path, files[path.name], made.info)


def _compared(expected: str, trials: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for trial in trials:
        shapes = ", ".join(f"{name} {list(shape)}" for name, shape in trial["shapes"].items())
        if "skipped" in trial:
            lines.append(f"{expected} itself does not take {shapes}: not compared")
        else:
            most = max(trial["differences"].values())
            lines.append(f"as {expected}, to {most:.1g} of the largest value, with {shapes}")
    return lines


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
