"""The dataset: the user's, or the pipeline's own, rendered once into the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit import child, pipeline
from toolkit.child import Progress
from toolkit.data import dataset
from toolkit.data.dataset import Dataset
from toolkit.errors import DataError
from toolkit.hardware import HARDWARE
from toolkit.spec.load import SPEC_FILE
from toolkit.stages.context import Context
from toolkit.store import digest

# Of a pipeline whose own data is a placeholder, where the user gives none.
WITHOUT_DATA = (
    "INT8 needs calibration data and none was given: nothing was calibrated, FP32 is served, and what it was compared "
    "on only stands in for requests"
)
GIVE_DATA = "give a folder of typical requests with DATA= (see `Your data` in README.md)"

# What decodes, draws and encodes any image.
_IMAGING = ("pillow", "opencv-python-headless", "numpy")


@dataclass(frozen=True)
class DatasetRef:
    """A dataset that has been checked, and the digest of its content."""

    dataset: Dataset
    digest: str

    @property
    def directory(self) -> Path:
        """Where it lies."""
        return self.dataset.directory


def run(context: Context) -> DatasetRef:
    """The dataset to calibrate and judge with.

    Raises:
        DataError: the user's is not fit for that, or a precision, or a target, was asked for that nothing
            could be calibrated for.
    """
    if "dataset" not in context.known:
        if not context.calibrates:
            _check_without_data(context)
        directory = context.data.resolve() if context.data is not None else _own(context)
        checked = dataset.load(directory)
        _check_calibration(context, checked)
        context.known["dataset"] = DatasetRef(checked, checked.digest())
    found: DatasetRef = context.known["dataset"]
    return found


def _check_without_data(context: Context) -> None:
    if context.precision in ("int8", "bf16"):
        raise DataError(
            f"{context.precision} was asked for, and there is no data to calibrate and judge it with",
            where=f"{context.spec.directory / SPEC_FILE}: data.placeholder",
            remedy=GIVE_DATA,
        )
    if context.spec.hardware == HARDWARE["nvidia-tensorrt"]:
        raise DataError(
            f"{context.spec.target} is built for the shapes of calibration data, and there is none",
            where=f"{context.spec.directory / SPEC_FILE}: data.placeholder",
            remedy=GIVE_DATA,
        )
    context.console.say(f"  warning: {WITHOUT_DATA}; {GIVE_DATA}")


def _check_calibration(context: Context, found: Dataset) -> None:
    if context.calibrates and not found.calibration:
        raise DataError(
            "the label file lists no sample",
            where=str(found.directory / f"{dataset.CALIBRATION}.txt"),
            remedy="list some tens; none of them may be in the other lists",
        )


def _own(context: Context) -> Path:
    spec = context.spec.data
    module = spec.generator.partition(":")[0].split(".")[0]
    place = context.spec.directory / module
    return context.artifact(
        "dataset",
        context.spec.name,
        {"options": spec.options, "packages": digest.of_packages([*_IMAGING, *spec.packages])},
        (
            place if place.is_dir() else place.with_suffix(".py"),
            *(context.spec.directory / item for item in spec.code),
        ),
        lambda target, progress: _generate(context, target, progress),
    ).path


def _generate(context: Context, target: Path, progress: Progress) -> Mapping[str, Any]:
    arguments = {
        "pipeline_dir": str(context.spec.directory),
        "generator": context.spec.data.generator,
        "options": dict(context.spec.data.options),
        "target": str(target),
    }
    log = context.logs / "dataset.log"
    return dict(child.call("toolkit.stages.dataset:generate", arguments, log=log, progress=progress))


def generate(
    pipeline_dir: str, generator: str, options: Mapping[str, Any], target: str, progress: Progress
) -> dict[str, Any]:
    """In the child: run the pipeline's generator."""
    pipeline.resolve(Path(pipeline_dir), generator)(Path(target), options, progress)
    made = dataset.load(Path(target))
    return {"calibration": len(made.calibration), "validation": len(made.validation)}
