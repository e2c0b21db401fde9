"""The files of an inference model: found under whatever names they have, and refused early when they cannot work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from toolkit.errors import ModelError

# Names that win where a directory holds several programs.
_USUAL_PROGRAMS = ("inference.pdmodel", "model.pdmodel")
_OLD_PROGRAM = "__model__"
_OLD_PARAMS = ("__params__", "params")


@dataclass(frozen=True)
class ModelFiles:
    """A program file and its weights.

    Attributes:
        params: the weights file; of a model of Paddle 1 also the folder in which each weight has a file of its own.
    """

    model: Path
    params: Path

    @property
    def size(self) -> int:
        """Bytes of both."""
        return self.model.stat().st_size + self.params.stat().st_size


def find(directory: Path, model: Optional[str] = None, params: Optional[str] = None) -> ModelFiles:
    """The inference model in `directory`.

    Args:
        model: name of the program file, when it is not the only one.
        params: name of the weights file, when it does not follow from the program's.

    Raises:
        ModelError: there is none, it is ambiguous, or a file is missing, empty or of Paddle 3.
    """
    if not directory.is_dir():
        raise ModelError("the model directory does not exist", where=str(directory))
    program = directory / model if model else _program(directory)
    weights = directory / params if params else _weights(program)
    for path in (program, weights):
        if path != program.parent:
            _check(path)
    return ModelFiles(program, weights)


def _program(directory: Path) -> Path:
    for name in _USUAL_PROGRAMS:
        if (directory / name).is_file():
            return directory / name
    programs = sorted(directory.glob("*.pdmodel"))
    if len(programs) == 1:
        return programs[0]
    if len(programs) > 1:
        names = ", ".join(path.name for path in programs)
        raise ModelError(
            f"the directory holds several programs: {names}",
            where=str(directory),
            remedy="name one with `model:` in the pipeline spec",
        )
    if (directory / _OLD_PROGRAM).is_file():
        return directory / _OLD_PROGRAM
    _refuse_paddle3(directory)
    held = ", ".join(sorted(path.name for path in directory.iterdir())[:8]) or "nothing"
    has_onnx = any(directory.glob("*.onnx"))
    raise ModelError(
        f"no inference model here: a .pdmodel or {_OLD_PROGRAM} file is needed, the directory holds {held}",
        where=str(directory),
        remedy="`make new MODEL=... FROM=` that file converts it, and writes a pipeline for what it becomes"
        if has_onnx
        else "export the model with paddle.jit.save or paddle.static.save_inference_model",
    )


def _refuse_paddle3(directory: Path) -> None:
    for path in sorted(directory.glob("*.json")):
        if is_paddle3(path):
            raise _paddle3_error(path)


def _paddle3_error(path: Path) -> ModelError:
    return ModelError(
        "this is a Paddle 3 program (PIR, .json), which Paddle 2.6 cannot read",
        where=str(path),
        remedy="`make new MODEL=... FROM=` that file converts it, and writes a pipeline for what it becomes; or export "
        "it again with FLAGS_enable_pir_api=0, which writes a .pdmodel",
    )


def is_paddle3(path: Path) -> bool:
    """Whether `path` is a `.json` file with a program of Paddle 3, by its first bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(4096)
    return b'"base_code"' in head or b'"program"' in head


def _weights(program: Path) -> Path:
    if program.name != _OLD_PROGRAM:
        return program.with_suffix(".pdiparams")
    for name in _OLD_PARAMS:
        if (program.parent / name).is_file():
            return program.parent / name
    is_alone = all(path == program for path in program.parent.iterdir())
    return program.parent / _OLD_PARAMS[0] if is_alone else program.parent


def _check(path: Path) -> None:
    if path.suffix == ".json" and path.is_file():
        raise _paddle3_error(path)
    if not path.is_file():
        raise ModelError(
            f"the model's file {path.name} is missing",
            where=str(path),
            remedy="program and weights belong together: copy both, or export the model again",
        )
    if path.stat().st_size == 0:
        raise ModelError(f"the model's file {path.name} is empty", where=str(path))
