from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from toolkit.data import dataset
from toolkit.errors import DataError
from toolkit.images import variations


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Ships eight photographs, and cannot be imported."""
    folder = tmp_path / "packages" / "some_photographs"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('it is not to be imported')\n")
    generator = np.random.default_rng(0)
    for number in range(8):
        coarse = generator.integers(0, 256, (6, 8, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(coarse, (160, 120)))
    monkeypatch.syspath_prepend(str(folder.parent))
    return folder.name


def options(package: str, **changes: Any) -> dict[str, Any]:
    counts = {"calibration": 3, "search": 2, "validation": 5}
    return {"seed": 1, "photographs": {package: "*.png"}, "counts": counts, "side": 64, **changes}


def built(folder: Path, chosen: Any) -> Path:
    folder.mkdir()
    told: list[tuple[int, int]] = []
    variations.build(folder, chosen, lambda done, total: told.append((done, total)))
    assert told[-1] == (10, 10)
    return folder


def test_a_dataset_without_labels_is_written_from_what_packages_ship(tmp_path: Path, package: str) -> None:
    found = dataset.load(built(tmp_path / "data", options(package)))
    assert (len(found.calibration), len(found.search), len(found.validation)) == (3, 2, 5)
    assert all(item.label is None and item.lines is None for item in found.validation)
    for item in found.validation:
        assert min(cv2.imread(str(item.image)).shape[:2]) == 64


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path, package: str) -> None:
    folders = [
        built(tmp_path / name, options(package, seed=seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    first, again, other = ([path.read_bytes() for path in sorted(item.rglob("*.jpg"))] for item in folders)
    assert first == again
    assert first != other


def test_no_photograph_serves_two_purposes(package: str) -> None:
    shared = variations.divided(variations.photographs({package: "*.png"}))
    assert sorted(len(item) for item in shared.values()) == [2, 2, 4]
    assert len({path for item in shared.values() for path in item}) == 8


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(DataError, match="'no_such_package' is not installed"):
        variations.photographs({"no_such_package": "*.png"})
    with pytest.raises(DataError, match="has no nothing"):
        variations.photographs({"toolkit": "nothing"})
    with pytest.raises(DataError, match="3 photographs cannot be divided"):
        variations.divided([Path("a"), Path("b"), Path("c")])


def test_a_variation_of_any_image_is_an_image() -> None:
    generator = np.random.default_rng(0)
    for size in ((1, 1), (3, 900), (500, 20)):
        found = variations.varied(np.full((*size, 3), 90, np.uint8), 32, generator)
        assert min(found.shape[:2]) == 32
        assert found.dtype == np.uint8
