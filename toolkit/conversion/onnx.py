"""ONNX models: converted by x2paddle, and kept where their answers are those of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
        source: the ONNX file.
        sha256: of that file.
        info: what the conversion reported, see `isolated/converters/from_onnx.py`.
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
    found: Inspection, trials: Trials, store: Store, logs: Path, console: Console, otherwise: str = _OTHERWISE
) -> Converted:
    """The ONNX model `found` as a Paddle model, from the store or converted now.

    Args:
        trials: shapes of all inputs, for each comparison with ONNX Runtime.
        logs: directory for what the converter prints, and the making of its environment.
        otherwise: what to do about a model that cannot be converted.

    Raises:
        ModelError: it cannot be converted, or its answers differ from those of ONNX Runtime; a file or the lock is
            missing.
        ChildError: the converter died, or its environment cannot be made.
    """
    source = Path(found.program)
    files = {name: digest.of_file(path) for name, path in _files(found).items()}
    work = Work("onnx", LOCK, {"model": source}, files, trials, otherwise)
    made = script.done(work, store, logs, console)
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
