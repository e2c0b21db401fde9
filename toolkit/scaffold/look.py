"""Looking at a model in child processes: what its files say, and whether it runs in given shapes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from toolkit import child
from toolkit.engines.inspection import Inspection
from toolkit.errors import ChildError, ModelError
from toolkit.scaffold.plan import OTHER_SIZES


def inspect(path: Path) -> Inspection:
    """The model at `path`: a directory, a file, or the stem of both its files.

    Raises:
        ModelError: there is none, or it is not whole.
    """
    with _scratch() as folder:
        # A link stays one: it may lead to another version tomorrow.
        arguments = {"path": str(path.parent.resolve() / path.name)}
        found = child.call("toolkit.engines.inspection:run", arguments, log=folder / "inspect.log")
    return Inspection.from_json(found)


def tried(
    found: Inspection, inputs: Mapping[str, Sequence[int]], outputs: Sequence[str]
) -> dict[str, list[int]]:
    """Export the model under new names and run it once, as a deployment begins; the shapes of its outputs by name.

    Args:
        inputs: new name and shape of each, in the program's order.
        outputs: new name of each.

    Raises:
        ModelError: it does not run.
    """
    with _scratch() as folder:
        target = folder / "model"
        target.mkdir()
        arguments = {
            "directory": str(Path(found.program).parent),
            "model_file": Path(found.program).name,
            "params_file": Path(found.weights).name
            if found.weights and Path(found.weights).is_file()
            else None,
            "target": str(target),
            "inputs": {name: list(shape) for name, shape in inputs.items()},
            "outputs": list(outputs),
        }
        try:
            done = child.call("toolkit.engines.export:from_directory", arguments, log=folder / "try.log")
        except ModelError as error:
            # Its remedy names a spec, and there is none yet.
            raise ModelError(error.message, where=found.program, remedy=OTHER_SIZES) from error
    shapes: dict[str, list[int]] = done["probe"]
    return shapes


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder that stays only where a child died: the error names the log in it."""
    folder = Path(tempfile.mkdtemp(prefix="toolkit-look-"))
    try:
        yield folder
    except ChildError:
        shutil.rmtree(folder / "model", ignore_errors=True)
        raise
    except BaseException:
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)
