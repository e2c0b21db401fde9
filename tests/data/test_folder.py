from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.data import dataset
from toolkit.errors import DataError


def fill(folder: Path, count: int) -> Path:
    """A folder of `count` different "images", one in a folder of its own."""
    (folder / "more").mkdir(parents=True)
    for number in range(count):
        place = folder / "more" if number == 0 else folder
        (place / f"{number}.jpg").write_text(f"picture {number}")
    (folder / "notes.md").write_text("no image")
    return folder


def test_a_folder_of_images_is_divided_with_nothing_in_two_parts(tmp_path: Path) -> None:
    data = dataset.load(fill(tmp_path, 40))
    parts = [{sample.name for sample in data.split(name)} for name in ("calibration", "search", "validation")]
    assert [len(part) for part in parts] == [10, 8, 22]
    assert len(set().union(*parts)) == 40
    assert "more/0.jpg" in set().union(*parts)


def test_it_is_divided_alike_wherever_it_lies(tmp_path: Path) -> None:
    here, there = (dataset.load(fill(tmp_path / name, 20)) for name in ("here", "there"))
    assert here.digest() == there.digest()


def test_copies_stay_together(tmp_path: Path) -> None:
    fill(tmp_path, 12)
    for number in range(12):
        (tmp_path / f"copy_{number}.jpg").write_text(f"picture {number}")
    data = dataset.load(tmp_path)
    assert any("are copies of others" in warning for warning in data.warnings)


def test_no_more_calibrate_than_help(tmp_path: Path) -> None:
    assert len(dataset.load(fill(tmp_path, 300)).calibration) == 64


def test_one_image_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one file alone"):
        dataset.load(fill(tmp_path, 1))


def test_json_is_taken_where_there_is_no_image(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"{number}.json").write_text(str(number))
    assert len(dataset.load(tmp_path).calibration) == 2
    (tmp_path / "a.png").write_text("a picture")
    (tmp_path / "b.png").write_text("another")
    assert [sample.name[-4:] for sample in dataset.load(tmp_path).calibration] == [".png"]


def test_label_files_win_over_what_lies_beside_them(tmp_path: Path) -> None:
    fill(tmp_path, 8)
    (tmp_path / "calibration.txt").write_text("1.jpg\n")
    with pytest.raises(DataError, match=r"validation\.txt is missing"):
        dataset.load(tmp_path)
    (tmp_path / "validation.txt").write_text("2.jpg\n")
    assert [sample.name for sample in dataset.load(tmp_path).calibration] == ["1.jpg"]


def test_an_empty_list_calibrates_nothing_and_is_no_warning(tmp_path: Path) -> None:
    fill(tmp_path, 20)
    (tmp_path / "calibration.txt").touch()
    (tmp_path / "validation.txt").write_text("".join(f"{number}.jpg\n" for number in range(1, 20)))
    data = dataset.load(tmp_path)
    assert data.calibration == ()
    assert not [warning for warning in data.warnings if "calibration" in warning]


def test_a_folder_without_anything_to_take_is_told_what_would_be_taken(tmp_path: Path) -> None:
    (tmp_path / "licence.txt").write_text("of images that are not here")
    with pytest.raises(DataError, match=r"calibration\.txt is missing") as caught:
        dataset.load(tmp_path)
    assert "images or JSON and no file *.txt" in str(caught.value.remedy)
