from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.report.examples import line, picture
from toolkit.report import gallery


def decoded(uri: str) -> Any:
    data = base64.b64decode(uri.split(",", 1)[1])
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def item(image: str, native: list[Any], served: list[Any]) -> dict[str, Any]:
    answers = {"native": {"lines": native}, "served": {"lines": served}}
    return {"sample": "x.jpg", "image": image, **answers, "lost": 1, "won": 0}


def test_lines_are_compared_where_they_lie_not_in_their_order() -> None:
    native = [line("ONE", 0, 0), line("TWO", 0, 20), line("THREE", 0, 40)]
    served = [line("THREE", 1, 41), line("TW0", 0, 21), line("NEW", 50, 0)]
    found = gallery.differences(native, served)
    assert [(a and a["text"], b and b["text"]) for a, b in found] == [
        ("ONE", None),
        ("TWO", "TW0"),
        (None, "NEW"),
    ]


def test_spaces_and_case_are_no_difference() -> None:
    assert gallery.differences([line("Total 7", 0, 0)], [line("TOTAL7", 0, 0)]) == []


def test_lines_without_boxes_are_compared_in_their_order() -> None:
    found = gallery.differences([{"text": "a"}, {"text": "b"}], [{"text": "a"}])
    assert found == [({"text": "b"}, None)]


@pytest.mark.parametrize(
    ("before", "after", "first", "second"),
    [
        ("7.00", "7.80", (("7.", False), ("0", True), ("0", False)), (("7.", False), ("8", True), ("0", False))),
        ("发票号码", "发票码", (("发票", False), ("号", True), ("码", False)), (("发票码", False),)),
        ("", "x", (), (("x", True),)),
        ("abc", "xabcy", (("abc", False),), (("x", True), ("abc", False), ("y", True))),
        ("<b>", "<i>", (("<", False), ("b", True), (">", False)), (("<", False), ("i", True), (">", False))),
    ],
)  # fmt: skip
def test_the_characters_that_changed_are_marked(before: str, after: str, first: Any, second: Any) -> None:
    assert gallery.marked(before, after) == (first, second)


def test_changed_boxes_are_red_and_the_others_green(tmp_path: Path) -> None:
    native = [line("SAME", 40, 5), line("OLD", 40, 40)]
    served = [line("SAME", 40, 5), line("NEW", 40, 40)]
    (found,) = gallery.samples({"gallery": [item(picture(tmp_path / "p.png"), native, served)]})
    assert [title for title, _ in found.pictures] == ["native FP32", "served"]
    for _, uri in found.pictures:
        image = decoded(uri).astype(int)
        assert image.shape == (60, 100, 3)
        green, red = image[15, 60, 1:]  # the lower edge of the first box
        assert green > red + 30
        green, red = image[50, 60, 1:]  # and of the second
        assert red > green + 60
        assert abs(image[30, 90] - 200).max() < 12  # between them the picture shows


def test_a_line_that_only_one_answer_has_is_drawn_in_its_picture_only(tmp_path: Path) -> None:
    (found,) = gallery.samples({"gallery": [item(picture(tmp_path / "p.png"), [line("GONE", 40, 30)], [])]})
    native, served = (decoded(uri).astype(int) for _, uri in found.pictures)
    assert native[40, 60, 2] > native[40, 60, 1] + 60
    assert abs(served - 200).max() < 12
    assert found.differences == (gallery.Difference(1, (("GONE", True),), None),)


def test_boxes_shrink_with_a_large_picture(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "large.png"), np.full((1280, 320, 3), 200, np.uint8))
    box = [[20, 200], [300, 200], [300, 400], [20, 400]]
    (found,) = gallery.samples(
        {"gallery": [item(str(tmp_path / "large.png"), [{"text": "a", "box": box}], [])]}
    )
    image = decoded(found.pictures[0][1]).astype(int)
    assert image.shape == (640, 160, 3)
    assert image[200, 80, 2] > image[200, 80, 1] + 60


def test_a_picture_of_noise_stays_small_and_the_gallery_short(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), noise)
    entry = item(str(tmp_path / "noise.png"), [line("A", 5, 5)], [])
    assert len(gallery.samples({"gallery": [item("", [], [])] * 30})) == 12
    (found,) = gallery.samples({"gallery": [entry]})
    for _, uri in found.pictures:
        assert len(uri) <= 4 * 100_000 / 3 + 100


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_a_picture_that_cannot_be_read_leaves_the_texts(tmp_path: Path, content: Any) -> None:
    if content is not None:
        (tmp_path / "x.jpg").write_bytes(content)
    (found,) = gallery.samples({"gallery": [item(str(tmp_path / "x.jpg"), [line("A", 5, 5)], [])]})
    assert found.pictures == ()
    assert found.differences[0].native == (("A", True),)


def test_objects_are_drawn_as_lines_that_say_what_they_are(tmp_path: Path) -> None:
    def objects(*found: tuple[str, list[float]]) -> dict[str, Any]:
        return {"objects": [{"id": 1, "name": name, "box": box} for name, box in found]}

    same = ("dog", [10.0, 5.0, 40.0, 25.0])
    entry = {
        **item(picture(tmp_path / "p.png"), [], []),
        "native": objects(same, ("cat", [50.0, 30.0, 80.0, 50.0])),
        "served": objects(same, ("cow", [50.0, 30.0, 80.0, 51.0])),
    }
    (found,) = gallery.samples({"gallery": [entry]})
    ((_, native), _) = found.pictures
    image = decoded(native).astype(int)
    assert image[25, 25, 1] > image[25, 25, 2] + 30
    assert image[50, 65, 2] > image[50, 65, 1] + 60
    assert found.answers == ()
    assert found.differences == (
        gallery.Difference(1, (("c", False), ("at", True)), (("c", False), ("ow", True))),
    )


@pytest.mark.parametrize(
    "box", [None, 7, "abcd", [1, 2, 3], [1, 2, 3, None], [[0, 0], [1, 0], [1, 1], [0, 1]]]
)
def test_an_object_without_a_rectangle_is_told_by_its_name(box: Any) -> None:
    entry = {"sample": "x", "native": {"objects": [{"name": "dog", "box": box}]}, "served": {"objects": []}}
    (found,) = gallery.samples({"gallery": [entry]})
    assert found.differences == (gallery.Difference(1, (("dog", True),), None),)


def test_answers_that_are_no_lines_are_told_as_they_are() -> None:
    entry = {"sample": "cat.jpg", "native": {"label": "cat", "score": 0.9}, "served": {"label": "dog"}}
    (found,) = gallery.samples({"gallery": [entry]})
    assert found.answers == (("native FP32", "label: cat, score: 0.9"), ("served", "label: dog"))


def test_of_many_differences_the_first_are_listed_and_the_rest_counted() -> None:
    native = [line(f"LINE {number}", 0, 20 * number) for number in range(45)]
    (found,) = gallery.samples({"gallery": [item("", native, [])]})
    assert len(found.differences) == 40
    assert found.more == 5
