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
from toolkit.stages.context import Context
from toolkit.store import digest

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
    """The dataset to calibrate and judge with."""
    if "dataset" not in context.known:
        directory = context.data.resolve() if context.data is not None else _own(context)
        checked = dataset.load(directory)
        context.known["dataset"] = DatasetRef(checked, checked.digest())
    found: DatasetRef = context.known["dataset"]
    return found


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
