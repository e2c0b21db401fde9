"""A dataset without labels, of variations of the few photographs that installed packages ship.

As `data.generator` it needs no network and no files of the user. Each split has photographs of its own, so none is
calibrated with that also judges.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

import cv2
import numpy as np

from toolkit.data.dataset import CALIBRATION, SEARCH, VALIDATION
from toolkit.errors import DataError

Pixels = np.ndarray[Any, Any]

SPLITS = (CALIBRATION, SEARCH, VALIDATION)

# One variation is encoded with one of these qualities.
_QUALITIES = (60, 96)


def build(directory: Path, options: Mapping[str, Any], progress: Callable[[int, int], None]) -> None:
    """Write `images/` and a label file for each split.

    Args:
        options: `seed`; `photographs`, patterns of files by the package that ships them; `counts`, variations in each
            split; `side`, pixels of a variation's shorter side (256).

    Raises:
        DataError: a package is not installed, or there are fewer photographs than splits.
    """
    seed, side = int(options["seed"]), int(options.get("side", 256))
    counts: Mapping[str, int] = options["counts"]
    shared = divided(photographs(options["photographs"]))
    (directory / "images").mkdir(parents=True, exist_ok=True)
    done, total = 0, sum(counts.values())
    for number, split in enumerate(SPLITS):
        names = []
        sources = [_read(path) for path in shared[split]]
        for index in range(counts[split]):
            generator = np.random.default_rng([seed, number, index])
            names.append(f"images/{split}_{index:04d}.jpg")
            image = varied(sources[index % len(sources)], side, generator)
            quality = int(generator.integers(*_QUALITIES))
            data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            (directory / names[-1]).write_bytes(data.tobytes())
            done += 1
            progress(done, total)
        (directory / f"{split}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def photographs(patterns: Mapping[str, str]) -> list[Path]:
    """The files of packages that match; no package is imported.

    Args:
        patterns: by the name of the package, relative to its folder.

    Raises:
        DataError: a package is not installed, or has no such file.
    """
    found: list[Path] = []
    for package, pattern in patterns.items():
        spec = importlib.util.find_spec(package)
        folders = spec.submodule_search_locations if spec is not None else None
        files = sorted(Path(folders[0]).glob(pattern)) if folders else []
        if not files:
            raise DataError(
                f"the package {package!r} is not installed, or has no {pattern}",
                remedy="run `make setup`, or give images of your own with DATA=",
            )
        found += files
    return found


def divided(files: Sequence[Path]) -> dict[str, list[Path]]:
    """The photographs of each split: half of all judge, a quarter each is for calibration and search."""
    if len(files) < 2 * len(SPLITS):
        raise DataError(f"{len(files)} photographs cannot be divided into {len(SPLITS)} splits")
    kinds = (VALIDATION, CALIBRATION, VALIDATION, SEARCH)
    return {
        split: [path for number, path in enumerate(files) if kinds[number % len(kinds)] == split]
        for split in SPLITS
    }


def varied(image: Pixels, side: int, generator: np.random.Generator) -> Pixels:
    """Another view of `image`: a part of it, mirrored or not, in other light, sharp or not.

    Returns:
        (H, W, 3) uint8; the shorter side has `side` pixels.
    """
    part = _part(image, generator)
    scale = side / min(part.shape[:2])
    height, width = (max(side, round(length * scale)) for length in part.shape[:2])
    found = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if generator.random() < 0.5:
        found = cv2.flip(found, 1)
    pixels = found.astype(np.float32) * generator.uniform(0.8, 1.2, size=3) * generator.uniform(0.7, 1.2)
    pixels = (pixels - pixels.mean()) * generator.uniform(0.75, 1.25) + pixels.mean()
    if generator.random() < 0.25:
        pixels = cv2.GaussianBlur(pixels, (0, 0), float(generator.uniform(0.5, 1.5)))
    if generator.random() < 0.25:
        pixels = pixels + generator.normal(0, generator.uniform(2, 8), pixels.shape)
    return np.asarray(np.clip(pixels, 0, 255), np.uint8)


def _part(image: Pixels, generator: np.random.Generator) -> Pixels:
    """A third of the area or more, of a similar shape."""
    share, stretch = generator.uniform(0.33, 1) ** 0.5, generator.uniform(0.85, 1.18)
    height, width = image.shape[:2]
    rows, columns = min(height, round(height * share / stretch)), min(width, round(width * share * stretch))
    top, left = int(generator.integers(0, height - rows + 1)), int(generator.integers(0, width - columns + 1))
    return image[top : top + rows, left : left + columns]


def _read(path: Path) -> Pixels:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError("the photograph cannot be decoded", where=str(path))
    return image
