"""What kind of model a path leads to, by names and first bytes; nothing is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from typing_extensions import Literal

from toolkit.engines import files
from toolkit.errors import ModelError

Format = Literal["paddle", "pir", "onnx"]

# Of files that are named by their common stem, as paddle.jit.save takes it.
_SUFFIXES = (".pdmodel", ".json", ".onnx")
_CHECKPOINTS = (".pdparams", ".pdopt")
_OLD_PROGRAM = "__model__"

_WHAT_TO_GIVE = (
    "give the directory of an inference model, its .pdmodel, .json or .onnx file, or the path that paddle.jit.save was "
    "given"
)


@dataclass(frozen=True)
class Found:
    """A model that was recognised.

    Attributes:
        format: `paddle`: what this toolkit deploys; `pir`: a program of Paddle 3; `onnx`.
        program: the file with the program.
        weights: the file with the weights, or, of Paddle 1, the folder with a file for each; need not be there for
            `pir`; None of `onnx`, whose file says which others it has, if any.
    """

    format: Format
    program: Path
    weights: Optional[Path]

    @property
    def bytes(self) -> int:
        """Of all its files that are there."""
        return sum(path.stat().st_size for path in (self.program, self.weights) if path and path.is_file())


def recognise(path: Path) -> Found:
    """The model at `path`: a directory, a file, or the common stem of a model's files.

    Raises:
        ModelError: there is none, it is ambiguous, or one of its files is missing or empty.
    """
    if path.is_dir():
        return _in_directory(path)
    for candidate in (path, *(Path(f"{path}{suffix}") for suffix in _SUFFIXES)):
        if candidate.is_file():
            return _of_file(candidate)
    raise ModelError("there is no such file or directory", where=str(path), remedy=_WHAT_TO_GIVE)


def _in_directory(path: Path) -> Found:
    others = [item for item in sorted(path.glob("*.json")) if files.is_paddle3(item)]
    others += sorted(path.glob("*.onnx"))
    if any(path.glob("*.pdmodel")) or (path / _OLD_PROGRAM).is_file() or not others:
        return _paddle(path)
    if len(others) > 1:
        names = ", ".join(item.name for item in others)
        raise ModelError(
            f"the directory holds several models: {names}", where=str(path), remedy="name one, with its file"
        )
    return _of_file(others[0])


def _of_file(path: Path) -> Found:
    if path.suffix == ".pdmodel" or path.name == _OLD_PROGRAM:
        return _paddle(path.parent, path.name)
    if path.stat().st_size == 0:
        raise ModelError("the file is empty", where=str(path), remedy="copy or export it again")
    if path.suffix == ".onnx":
        return Found("onnx", path, None)
    if path.suffix == ".json" and files.is_paddle3(path):
        return Found("pir", path, path.with_suffix(".pdiparams"))
    if path.suffix == ".pdiparams":
        return _of_weights(path)
    raise _unknown(path)


def _of_weights(path: Path) -> Found:
    program = next(
        (path.with_suffix(suffix) for suffix in _SUFFIXES[:2] if path.with_suffix(suffix).is_file()), None
    )
    if program is None:
        raise ModelError(
            f"these are weights alone: the program {path.with_suffix('.pdmodel').name} is missing beside them",
            where=str(path),
            remedy="copy both files that were exported together",
        )
    return _of_file(program)


def _paddle(directory: Path, program: Optional[str] = None) -> Found:
    found = files.find(directory, program)
    return Found("paddle", found.model, found.params)


def _unknown(path: Path) -> ModelError:
    if path.suffix in _CHECKPOINTS:
        return ModelError(
            "this is a checkpoint of a training: values without the network that they belong to",
            where=str(path),
            remedy="export the network with paddle.jit.save; or write a spec with `source: {layer: ..., weights: ...}` "
            "as pipelines/resnet50/pipeline.yml has it",
        )
    return ModelError("this is no file of an inference model", where=str(path), remedy=_WHAT_TO_GIVE)
