"""A folder of images, or of JSON, without label files, divided into what calibrates and what judges."""

from __future__ import annotations

import hashlib
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


def divided(directory: Path) -> tuple[Samples, Samples, Samples]:
    """Samples to calibrate, to search with (none: a part of the last is), and to judge with; without labels.

    By content, so that a folder is divided alike wherever it lies, and copies stay together.

    Raises:
        DataError: there are fewer than two different files.
    """
    by_digest: dict[str, list[Path]] = {}
    for path in _files(directory):
        by_digest.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), []).append(path)
    if len(by_digest) < 2:
        raise DataError(
            "one file alone cannot calibrate and judge",
            where=str(directory),
            remedy="give at least two that differ; some tens are a good beginning",
        )
    chosen = set(sorted(by_digest)[::_SHARE][:_MOST])
    samples = [
        (digest in chosen, Sample(str(path.relative_to(directory)), path))
        for digest, paths in by_digest.items()
        for path in paths
    ]
    calibration = tuple(sample for calibrates, sample in samples if calibrates)
    return calibration, (), tuple(sample for calibrates, sample in samples if not calibrates)


def _files(directory: Path) -> list[Path]:
    """Its images; JSON only where there is none, since that may say something about images."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    images = [path for path in files if path.suffix.lower() in _IMAGES]
    return images or [path for path in files if path.suffix.lower() == ".json"]
