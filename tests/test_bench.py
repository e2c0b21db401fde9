"""The figures of the comparison, and its processes; that it reads real images is left to `make bench`."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.bench.contestants import Contestant, Lines, Missing, Read, rapidocr
from tests.bench.figures import table
from tests.bench.saturation import saturate


def length(text: str) -> Read:
    """Reads how long the image is."""

    def read(image: bytes) -> Lines:
        if not image:
            raise ValueError("there is nothing in it")
        return [{"text": f"{text} {len(image)} on {sorted(os.sched_getaffinity(0))}", "box": []}]

    return read


def fall(text: str) -> Read:
    """Ends its process."""
    os._exit(int(text))


def test_the_median_of_the_rounds_counts_and_chance_is_that_of_the_images() -> None:
    rows = table(
        {"one": [[1, 1, 9], [2, 2, 2], [3, 3, 3]], "other": [[2, 2, 2], [4, 9, 4], [6, 6, 6]]}, "one"
    )
    assert rows["one"] == {"milliseconds": 2000, "times": 1, "low": 1, "high": 1}
    assert rows["other"]["times"] == 2
    # Twice as long for every image: there is nothing left to chance.
    assert rows["other"]["low"] == pytest.approx(2)
    assert rows["other"]["high"] == pytest.approx(2)


def test_the_less_the_images_agree_the_wider_the_interval() -> None:
    rows = table({"one": [[1.0]] * 8, "other": [[1.0]] * 4 + [[3.0]] * 4}, "one")
    assert rows["other"]["times"] == 2
    assert 1.2 < rows["other"]["low"] < 1.5
    assert 2.5 < rows["other"]["high"] < 2.8


def test_each_reads_in_a_process_of_its_own_on_its_core_and_an_error_says_why(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    image, empty = tmp_path / "image", tmp_path / "empty"
    image.write_bytes(b"12345")
    empty.touch()
    with Contestant(length, "length", core) as contestant:
        seconds, lines = contestant(image)
        assert lines == [{"text": f"length 5 on [{core}]", "box": []}]
        assert 0 < seconds < 1
        with pytest.raises(RuntimeError, match="ValueError: there is nothing in it"):
            contestant(empty)


def test_one_that_dies_is_no_silence() -> None:
    with pytest.raises(RuntimeError, match="the process ended"):
        Contestant(fall, "3", max(os.sched_getaffinity(0)))


def test_what_is_not_installed_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rapidocr_openvino", None)
    with pytest.raises(Missing, match="rapidocr-openvino is not installed"):
        rapidocr("openvino")


def test_all_work_side_by_side_and_every_image_has_its_turn() -> None:
    seen: list[Path] = []

    def ask(image: Path) -> None:
        seen.append(image)
        time.sleep(0.05)

    images = [Path("one"), Path("two"), Path("three")]
    rate = saturate([ask] * 4, images, 0.5)
    assert rate == pytest.approx(4 / 0.05, rel=0.25)
    counts = [seen.count(image) for image in images]
    assert max(counts) - min(counts) <= 1


def test_what_must_be_done_is_done_however_long_it_takes() -> None:
    seen: list[Path] = []
    saturate([seen.append], [Path("one")], 0, at_least=5)
    assert len(seen) == 5


def test_an_ask_that_fails_ends_it() -> None:
    def ask(image: Path) -> None:
        raise ValueError(image)

    with pytest.raises(ValueError, match="one"):
        saturate([ask, lambda _: time.sleep(0.01)], [Path("one")], 60)
