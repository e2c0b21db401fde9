"""A dataset: what calibrates a model, what the search for a candidate sees, and what judges the one that it found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.data import folder, labels
from toolkit.data.folder import Samples
from toolkit.data.labels import Sample
from toolkit.errors import DataError

CALIBRATION = "calibration"
SEARCH = "search"
VALIDATION = "validation"

# Without a list for the search, one validation sample of so many is set aside for it.
_SHARE_FOR_SEARCH = 4
_FEW_FOR_CALIBRATION, _FEW_FOR_VALIDATION = 8, 16

# SHA-256 of files, in hex.
Digests = Mapping[Path, str]


@dataclass(frozen=True)
class Dataset:
    """Samples for three purposes.

    Attributes:
        calibration: what the ranges of activations are taken from.
        search: what candidates are compared by, as often as it takes.
        validation: what judges the candidate that is to be served; seen once.
        digests: of the files, as they were when the dataset was loaded.
        warnings: what makes a verdict by this dataset weaker than it looks.
    """

    directory: Path
    calibration: tuple[Sample, ...]
    search: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    digests: Digests = field(repr=False, compare=False)
    warnings: tuple[str, ...] = ()

    def split(self, name: str) -> tuple[Sample, ...]:
        """The samples of `calibration`, `search` or `validation`."""
        return {CALIBRATION: self.calibration, SEARCH: self.search, VALIDATION: self.validation}[name]

    def digest(self) -> str:
        """SHA-256 over the labels, every file, and the purpose that each has, in hex."""
        total = hashlib.sha256()
        for split in (CALIBRATION, SEARCH, VALIDATION):
            for sample in self.split(split):
                known = (split, sample.name, sample.lines, sample.label, self.digests[sample.file])
                total.update(repr(known).encode())
        return total.hexdigest()


def load(directory: Path) -> Dataset:
    """The dataset in `directory`: `calibration.txt`, `validation.txt` and, if there is one, `search.txt`.

    A folder of images, or of JSON, without any list is divided by the digests of the files; see `toolkit.data.folder`.

    Where that is missing or empty, every fourth validation sample, by the digests of the files, is kept for the
    search, so that the verdict comes from samples that the search never saw.

    Raises:
        DataError: a list is missing or malformed, or a file stands in two.
    """
    if not directory.is_dir():
        raise DataError(
            "the data directory does not exist",
            where=str(directory),
            remedy="DATA= takes a folder of images, or one with calibration.txt and validation.txt; see `Your data` in "
            "README.md",
        )
    search: Samples = ()
    if folder.is_plain(directory):
        samples = folder.samples(directory)
        digests = _digests_of(samples)
        calibration, validation = folder.divided(samples, digests, directory)
    else:
        calibration, search, validation = _listed(directory)
        digests = _digests_of((*calibration, *search, *validation))
    _check_disjoint(directory, calibration, validation, digests)
    _check_disjoint(directory, search, validation, digests)
    if not search:
        search, validation = _divided(validation, digests)
    warnings = _warnings(calibration, search, validation, digests)
    return Dataset(directory, calibration, search, validation, digests, warnings)


def _listed(directory: Path) -> tuple[Samples, Samples, Samples]:
    """By the label files. A calibration list that is there and empty calibrates nothing, as that of a placeholder."""
    first, own = directory / f"{CALIBRATION}.txt", directory / f"{SEARCH}.txt"
    calibration = () if first.is_file() and not _lists_something(first) else labels.read(first)
    validation = labels.read(directory / f"{VALIDATION}.txt")
    return calibration, labels.read(own) if _lists_something(own) else (), validation


def _lists_something(path: Path) -> bool:
    return path.is_file() and bool(path.read_text(encoding="utf-8-sig", errors="replace").strip())


def _digests_of(samples: Iterable[Sample]) -> dict[Path, str]:
    """Each file is read once, however many lists it stands in."""
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest() for path in {sample.file for sample in samples}
    }


def _divided(
    validation: tuple[Sample, ...], digests: Digests
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Samples for the search and samples for the verdict; all serve both where they are too few to be divided.

    By content, not by place in the list, which may be sorted by what the samples show. Copies go together.
    """
    different = sorted({digests[sample.file] for sample in validation})
    first = set(different[::_SHARE_FOR_SEARCH])
    kept = tuple(sample for sample in validation if digests[sample.file] in first)
    rest = tuple(sample for sample in validation if digests[sample.file] not in first)
    if len(validation) < _SHARE_FOR_SEARCH or not rest:
        return validation, validation
    return kept, rest


def _warnings(
    calibration: Sequence[Sample], search: Sequence[Sample], validation: Sequence[Sample], digests: Digests
) -> tuple[str, ...]:
    found = []
    for name, samples, few in (
        (CALIBRATION, calibration, _FEW_FOR_CALIBRATION),
        (VALIDATION, validation, _FEW_FOR_VALIDATION),
    ):
        copies = len(samples) - len({digests[sample.file] for sample in samples})
        if copies:
            found.append(f"{copies} of the {len(samples)} {name} samples are copies of others")
        if 0 < len(samples) < few:
            found.append(f"only {len(samples)} samples for {name}")
    if search and search == validation:
        found.append(
            "the verdict is by samples that the search saw, since there are too few to keep some apart"
        )
    return tuple(found)


def _check_disjoint(
    directory: Path, first: Sequence[Sample], second: Sequence[Sample], digests: Digests
) -> None:
    """Compare by content, so that a copy under another name is found too."""
    known: dict[str, Sample] = {digests[sample.file]: sample for sample in first}
    for sample in second:
        twin = known.get(digests[sample.file])
        if twin is not None:
            raise DataError(
                f"the sample {sample.name} is in both lists"
                + (f" (there as {twin.name})" if twin.name != sample.name else ""),
                where=str(directory),
                remedy="a model must not be judged by what it was calibrated or searched with: remove it from one list",
            )
