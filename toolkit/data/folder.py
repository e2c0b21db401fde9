"""A folder of images, or of JSON, without label files, divided into what calibrates and what judges."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from toolkit.data.labels import Sample
from toolkit.errors import DataError

_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif")

# One of so many different files calibrates, and no more of them than help.
_SHARE, _MOST = 4, 64

Samples = tuple[Sample, ...]


def is_plain(directory: Path) -> bool:
    """Whether the folder has images or JSON, in folders of it too, and no label file beside them."""
    return not any(directory.glob("*.txt")) and bool(_files(directory))


def samples(directory: Path) -> Samples:
    """Its files, without labels."""
    return tuple(Sample(str(path.relative_to(directory)), path) for path in _files(directory))


def divided(found: Samples, digests: Mapping[Path, str], directory: Path) -> tuple[Samples, Samples]:
    """Samples to calibrate and samples to judge with.

    By content, so that a folder is divided alike wherever it lies, and copies stay together.

    Args:
        digests: of the files.

    Raises:
        DataError: there are fewer than two different files.
    """
    different = sorted({digests[sample.file] for sample in found})
    if len(different) < 2:
        raise DataError(
            "one file alone cannot calibrate and judge",
            where=str(directory),
            remedy="give at least two that differ; some tens are a good beginning",
        )
    first = set(different[::_SHARE][:_MOST])
    calibration = tuple(sample for sample in found if digests[sample.file] in first)
    return calibration, tuple(sample for sample in found if digests[sample.file] not in first)


def _files(directory: Path) -> list[Path]:
    """Its images; JSON only where there is none, since that may say something about images."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    images = [path for path in files if path.suffix.lower() in _IMAGES]
    return images or [path for path in files if path.suffix.lower() == ".json"]
