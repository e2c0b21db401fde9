"""A dataset: what calibrates a model and what judges it, proven to share no image."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from toolkit.data import labels
from toolkit.data.labels import Sample
from toolkit.errors import DataError

CALIBRATION = "calibration"
VALIDATION = "validation"


@dataclass(frozen=True)
class Dataset:
    """Samples to calibrate with and samples to judge by."""

    directory: Path
    calibration: tuple[Sample, ...]
    validation: tuple[Sample, ...]

    def digest(self) -> str:
        """SHA-256 over the labels, every image, and the list that each stands in, in hex."""
        total = hashlib.sha256()
        for split, samples in ((CALIBRATION, self.calibration), (VALIDATION, self.validation)):
            for sample in samples:
                total.update(repr((split, sample.name, sample.lines, _image_digest(sample.image))).encode())
        return total.hexdigest()


def load(directory: Path) -> Dataset:
    """The dataset in `directory`: `calibration.txt` and `validation.txt` in PaddleOCR's label format.

    Raises:
        DataError: a list is missing or malformed, or an image stands in both.
    """
    if not directory.is_dir():
        raise DataError(
            "the data directory does not exist",
            where=str(directory),
            remedy="DATA= takes a directory with calibration.txt and validation.txt in PaddleOCR's label format",
        )
    dataset = Dataset(
        directory,
        labels.read(directory / f"{CALIBRATION}.txt"),
        labels.read(directory / f"{VALIDATION}.txt"),
    )
    _check_disjoint(dataset)
    return dataset


def _check_disjoint(dataset: Dataset) -> None:
    """Compare by content, so that a copy under another name is found too."""
    calibration: dict[str, Sample] = {_image_digest(sample.image): sample for sample in dataset.calibration}
    for sample in dataset.validation:
        twin = calibration.get(_image_digest(sample.image))
        if twin is not None:
            raise DataError(
                f"the image {sample.name} is in both lists"
                + (f" (there as {twin.name})" if twin.name != sample.name else ""),
                where=str(dataset.directory),
                remedy="a model must not be judged by what it was calibrated with: remove it from one list",
            )


def _image_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
