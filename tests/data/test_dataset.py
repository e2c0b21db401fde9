from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from toolkit.data import dataset
from toolkit.data.labels import Sample
from toolkit.errors import DataError


def make(folder: Path, calibration: Mapping[str, str], validation: Mapping[str, str]) -> Path:
    """A dataset of "images" that hold a text each."""
    folder.mkdir(exist_ok=True)
    for split, images in (("calibration", calibration), ("validation", validation)):
        for name, content in images.items():
            (folder / name).write_text(content)
        (folder / f"{split}.txt").write_text("".join(f"{name}\t[]\n" for name in images))
    return folder


def test_both_lists_are_read(tmp_path: Path) -> None:
    data = dataset.load(make(tmp_path, {"a": "A"}, {"b": "B", "c": "C"}))
    assert [sample.name for sample in data.calibration] == ["a"]
    assert [sample.name for sample in data.validation] == ["b", "c"]


def test_an_image_in_both_lists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the sample b is in both lists\n") as caught:
        dataset.load(make(tmp_path, {"a": "A", "b": "B"}, {"b": "B", "c": "C"}))
    assert caught.value.where == str(tmp_path)


def test_a_copy_under_another_name_is_found_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the sample c is in both lists \(there as a\)"):
        dataset.load(make(tmp_path, {"a": "same"}, {"b": "B", "c": "same"}))


def test_a_missing_directory_or_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="directory does not exist"):
        dataset.load(tmp_path / "none")
    make(tmp_path, {"a": "A"}, {"b": "B"})
    (tmp_path / "calibration.txt").unlink()
    with pytest.raises(DataError, match=r"calibration\.txt is missing"):
        dataset.load(tmp_path)


def test_the_digest_is_that_of_the_content_wherever_it_lies(tmp_path: Path) -> None:
    here = dataset.load(make(tmp_path / "here", {"a": "A"}, {"b": "B"}))
    there = dataset.load(make(tmp_path / "there", {"a": "A"}, {"b": "B"}))
    assert here.digest() == there.digest()


def test_another_image_label_or_split_is_another_digest(tmp_path: Path) -> None:
    quad = '[{"transcription": "x", "points": [[0,0],[1,0],[1,1],[0,1]]}]'
    digests = {
        dataset.load(make(tmp_path / "first", {"a": "A"}, {"b": "B", "c": "C"})).digest(),
        dataset.load(make(tmp_path / "image", {"a": "A"}, {"b": "B", "c": "D"})).digest(),
        dataset.load(make(tmp_path / "moved", {"a": "A", "b": "B"}, {"c": "C"})).digest(),
    }
    labelled = make(tmp_path / "label", {"a": "A"}, {"b": "B", "c": "C"})
    (labelled / "validation.txt").write_text(f"b\t{quad}\nc\t[]\n")
    digests.add(dataset.load(labelled).digest())
    assert len(digests) == 4


def names(samples: tuple[Sample, ...]) -> list[str]:
    return [sample.name for sample in samples]


def test_without_a_list_for_the_search_one_validation_image_of_four_serves_it(tmp_path: Path) -> None:
    data = dataset.load(make(tmp_path, {"a": "A"}, {str(number): str(number) for number in range(8)}))
    assert len(data.search) == 2
    assert sorted(names(data.search) + names(data.validation)) == [str(number) for number in range(8)]
    assert not any("saw" in warning for warning in data.warnings)


@pytest.mark.parametrize("contents", ["BBBBB", "BCD"])
def test_images_that_cannot_be_divided_serve_both_purposes_and_that_is_told(
    tmp_path: Path, contents: str
) -> None:
    images = {str(number): content for number, content in enumerate(contents)}
    data = dataset.load(make(tmp_path, {"a": "A"}, images))
    assert names(data.search) == names(data.validation) == list(images)
    assert any("samples that the search saw" in warning for warning in data.warnings)


@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff"])
def test_an_empty_list_for_the_search_is_none(tmp_path: Path, content: str) -> None:
    images = {str(number): str(number) for number in range(8)}
    without = dataset.load(make(tmp_path, {"a": "A"}, images))
    (tmp_path / "search.txt").write_text(content, encoding="utf-8")
    assert dataset.load(tmp_path) == without


def test_a_list_for_the_search_is_kept_apart_from_validation(tmp_path: Path) -> None:
    make(tmp_path, {"a": "A"}, {"b": "B", "c": "C", "d": "D", "e": "E"})
    (tmp_path / "search.txt").write_text("a\t[]\n")
    assert names(dataset.load(tmp_path).search) == ["a"]
    assert names(dataset.load(tmp_path).validation) == ["b", "c", "d", "e"]
    (tmp_path / "search.txt").write_text("b\t[]\n")
    with pytest.raises(DataError, match="the sample b is in both lists"):
        dataset.load(tmp_path)


def test_each_image_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, {"a": "A"}, {str(number): str(number) for number in range(4)})
    read_bytes, read = Path.read_bytes, []

    def counting(self: Path) -> bytes:
        read.append(self.name)
        return read_bytes(self)

    monkeypatch.setattr(Path, "read_bytes", counting)
    dataset.load(tmp_path).digest()
    assert sorted(read) == ["0", "1", "2", "3", "a"]
