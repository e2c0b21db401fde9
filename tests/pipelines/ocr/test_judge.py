from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from toolkit import pipeline
from toolkit.data.labels import Line, Sample
from toolkit.errors import DataError
from toolkit.evaluation.metrics import Counts

FOLDER = Path(__file__).parents[3] / "pipelines" / "ocr"


def judge(name: str, **options: Any) -> Any:
    return pipeline.resolve(FOLDER, f"judge:{name}")(options)


def quad(left: float, top: float, right: float, bottom: float) -> tuple[tuple[float, float], ...]:
    return ((left, top), (right, top), (right, bottom), (left, bottom))


ROWS = [quad(10, 10, 90, 30), quad(10, 40, 90, 60), quad(10, 70, 90, 90)]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A dark page with a light stripe for each row."""
    page = np.full((100, 120, 3), 40, np.uint8)
    for row in ROWS:
        page[int(row[0][1]) : int(row[2][1]), int(row[0][0]) : int(row[1][0])] = 200
    cv2.imwrite(str(tmp_path / "page.png"), page)
    return tmp_path / "page.png"


@pytest.fixture
def sample(image: Path) -> Sample:
    """Two lines that can be read, and one between them that cannot."""
    texts = ("Total 5.00", "###", "你好")
    return Sample("page.png", image, tuple(Line(text, row) for text, row in zip(texts, ROWS)))


def boxes(*rows: tuple[tuple[float, float], ...]) -> Any:
    return np.array(rows, np.float32).reshape(-1, 4, 2)


@pytest.mark.parametrize(
    ("found", "counts"),
    [
        (boxes(ROWS[0], ROWS[2]), Counts(2, 2, 2)),
        (boxes(ROWS[0]), Counts(1, 1, 2)),
        # A box on illegible text is neither right nor wrong.
        (boxes(*ROWS), Counts(2, 2, 2)),
        (boxes(ROWS[1]), Counts(0, 0, 2)),
        (boxes(ROWS[0], quad(0, 92, 100, 99)), Counts(1, 2, 2)),
        (boxes(ROWS[0], ROWS[0]), Counts(1, 2, 2)),
        (boxes(), Counts(0, 0, 2)),
        (boxes(quad(10, 10, 49, 30)), Counts(0, 1, 2)),
    ],
)
def test_detection_counts_boxes_that_overlap_by_half(sample: Sample, found: Any, counts: Counts) -> None:
    assert judge("Detection").counts(sample, {"boxes": found}) == counts


def test_the_overlap_that_counts_can_be_chosen(sample: Sample) -> None:
    found = {"boxes": boxes(quad(10, 10, 60, 30))}
    assert judge("Detection", iou=0.7).counts(sample, found).matched == 0
    assert judge("Detection", iou=0.6).counts(sample, found).matched == 1


def test_detection_sees_the_whole_image(sample: Sample) -> None:
    assert judge("Detection").payload(sample)["image"].shape == (100, 120, 3)


@pytest.mark.parametrize(
    ("texts", "exact", "right"),
    [
        (("Total 5.00", "你好"), True, 2),
        (("TOTAL5.00", "你 好"), False, 2),
        (("TOTAL5.00", "你好"), True, 1),
        (("Total 5.0", "您好"), False, 0),
        (("你好", "Total 5.00"), False, 0),
    ],
)
def test_recognition_counts_lines_that_are_read_right(
    sample: Sample, texts: tuple[str, str], exact: bool, right: int
) -> None:
    counts = judge("Recognition", exact=exact).counts(sample, {"texts": [(text, 0.9) for text in texts]})
    assert counts == Counts(right, 2, 2)


@pytest.mark.parametrize(
    ("texts", "exact", "counts"),
    [
        (("total 5.00", "你好"), False, Counts(11, 11, 11)),
        # Normalised: "total5.00" has nine characters, one of which is wrong; one of two Chinese ones is missing.
        (("totel 5.00", "你"), False, Counts(9, 11, 11)),
        # As it stands: ten characters, T and t differ.
        (("total 5.00", "你好"), True, Counts(11, 12, 12)),
    ],
)
def test_characters_count_by_edit_distance(
    sample: Sample, texts: tuple[str, ...], exact: bool, counts: Counts
) -> None:
    payload = {"texts": [(text, 0.9) for text in texts]}
    assert judge("Characters", exact=exact).counts(sample, payload) == counts


def test_recognition_gets_the_legible_lines_with_two_pixels_around(sample: Sample) -> None:
    crops = judge("Recognition").payload(sample)["crops"]
    assert [crop.shape for crop in crops] == [(24, 84, 3)] * 2
    for crop in crops:
        assert (crop[2:-2, 2:-2] == 200).all()
        assert (crop[:2] == 40).all()
        assert (crop[:, -2:] == 40).all()


def test_a_polygon_is_judged_by_the_rectangle_around_it(image: Path) -> None:
    left, top, right, bottom = 10, 10, 90, 30
    curve = ((left, top), (50, top), (right, top), (right, bottom), (50, bottom), (left, bottom))
    sample = Sample("page.png", image, (Line("curved", curve),))
    (crop,) = judge("Recognition").payload(sample)["crops"]
    assert crop.shape == (24, 84, 3)
    assert (crop[3:-3, 3:-3] == 200).all()


def test_direction_shows_each_line_upright_and_on_its_head(sample: Sample) -> None:
    direction = judge("Direction")
    crops = direction.payload(sample)["crops"]
    assert len(crops) == 4
    np.testing.assert_array_equal(crops[1], np.rot90(crops[0], 2))
    assert direction.counts(sample, {"turned": [False, True, False, True]}) == Counts(4, 4, 4)
    assert direction.counts(sample, {"turned": [True, False, False, False]}) == Counts(1, 4, 4)


def answer(*lines: tuple[str, Any]) -> dict[str, Any]:
    return {
        "lines": [{"text": text, "score": 0.9, "box": [list(point) for point in box]} for text, box in lines]
    }


@pytest.mark.parametrize(
    ("lines", "counts"),
    [
        ((("total 5.00", ROWS[0]), ("你好", ROWS[2])), Counts(2, 2, 2)),
        # The right text in the wrong place is not right.
        ((("total 5.00", ROWS[2]), ("你好", ROWS[0])), Counts(0, 2, 2)),
        ((("total 5.00", ROWS[0]),), Counts(1, 1, 2)),
        ((("total 5.00", ROWS[0]), ("total 5.00", ROWS[0])), Counts(1, 2, 2)),
        ((), Counts(0, 0, 2)),
    ],
)
def test_pages_count_lines_found_and_read(sample: Sample, lines: Any, counts: Counts) -> None:
    assert judge("Pages").counts(sample, answer(*lines)) == counts


def test_pages_can_demand_spaces_and_case(sample: Sample) -> None:
    given = answer(("total 5.00", ROWS[0]))
    assert judge("Pages", exact=True).counts(sample, given).matched == 0
    assert judge("Pages", exact=False).counts(sample, given).matched == 1


def test_a_page_without_a_legible_line_counts_nothing(image: Path) -> None:
    sample = Sample("page.png", image, (Line("###", ROWS[0]),))
    recognition = judge("Recognition")
    assert recognition.payload(sample)["crops"] == []
    assert recognition.counts(sample, {"texts": []}) == Counts(0, 0, 0)
    assert judge("Detection").counts(sample, {"boxes": boxes(ROWS[0])}) == Counts(0, 0, 0)


def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be decoded") as caught:
        judge("Pages").payload(Sample("bad.jpg", tmp_path / "bad.jpg", ()))
    assert caught.value.where == str(tmp_path / "bad.jpg")
