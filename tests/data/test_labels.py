from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolkit.data import labels
from toolkit.data.labels import Line
from toolkit.errors import DataError

QUAD = [[1, 2], [30, 2], [30, 12], [1, 12]]


def entry(text: object = "text", points: object = QUAD) -> dict[str, object]:
    return {"transcription": text, "points": points}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "images" / name).write_bytes(name.encode())
    return tmp_path


def listed(folder: Path, *rows: str, encoding: str = "utf-8") -> Path:
    file = folder / "list.txt"
    file.write_bytes("\n".join(rows).encode(encoding))
    return file


def refusal(file: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        labels.read(file)
    return caught.value


def test_a_list_is_read_with_texts_and_corners(folder: Path) -> None:
    label = json.dumps([entry("收据 No 1"), entry("###")], ensure_ascii=False)
    first, second = labels.read(listed(folder, f"images/a.jpg\t{label}", "", "images/b.jpg\t[]", ""))
    assert (first.name, first.image) == ("images/a.jpg", folder / "images" / "a.jpg")
    assert first.lines[0] == Line("收据 No 1", ((1.0, 2.0), (30.0, 2.0), (30.0, 12.0), (1.0, 12.0)))
    assert second.lines == ()


@pytest.mark.parametrize(("text", "legible"), [("###", False), ("*", False), ("* * *", True), ("", True)])
def test_lines_that_nobody_could_read_judge_nobody(text: str, legible: bool) -> None:
    assert Line(text, ()).legible is legible


def test_what_is_written_is_what_is_read(folder: Path) -> None:
    quad = ((0.5, 1.0), (9.0, 1.0), (9.0, 4.0), (0.5, 4.0))
    # Separators that Python counts as ends of a line, but no editor and no other reader of this format does.
    lines = [Line('tab\t and "quotes"', quad), Line("one\u2028two\x85three\x0cfour", quad)]
    labels.write(folder / "list.txt", [("images/a.jpg", lines), ("images/b.jpg", [])])
    first, second = labels.read(folder / "list.txt")
    assert (first.lines, second.lines) == (tuple(lines), ())


def test_a_list_made_on_windows_is_read(folder: Path) -> None:
    rows = f"images/a.jpg\t{json.dumps([entry()])}\r\nimages/b.jpg\t[]\r\n"
    assert [sample.name for sample in labels.read(listed(folder, "\ufeff" + rows))] == [
        "images/a.jpg",
        "images/b.jpg",
    ]


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("", "malformed"),
        ("[{", "malformed"),
        ("null", "malformed"),
        ("7", "malformed"),
        ('{"transcription": "x"}', "malformed"),
        ("[1]", "malformed"),
        ('[{"transcription": "x"}]', "'points'"),
        (json.dumps([{"points": QUAD}]), "'transcription'"),
        (json.dumps([entry(7)]), "transcription 7 is not a text"),
        (json.dumps([entry(points=QUAD[:3])]), "3 points"),
        (json.dumps([entry(points=[1, 2, 3, 4])]), "malformed"),
        (json.dumps([entry(points=[["a", 1], *QUAD[1:]])]), "'a'"),
        (json.dumps([entry(points=[[1, 2, 3], *QUAD[1:]])]), "too many values"),
        (json.dumps([entry(points=[[float("nan"), 1], *QUAD[1:]])]), "not finite"),
    ],
)
def test_a_malformed_label_is_named_with_its_line(folder: Path, label: str, reason: str) -> None:
    file = listed(folder, "images/a.jpg\t[]", f"images/b.jpg\t{label}")
    error = refusal(file)
    assert "the label is malformed" in error.message
    assert reason in error.message
    assert error.where == f"{file}:2"


def test_a_class_may_follow_the_image_or_nothing_at_all(folder: Path) -> None:
    (folder / "images" / "a 3.jpg").write_bytes(b"a space in its name")
    rows = ("images/a.jpg 281", "images/b.jpg", "images/a 3.jpg 0", "images/a 3.jpg\r")
    found = labels.read(listed(folder, *rows))
    assert [(sample.name, sample.label) for sample in found] == [
        ("images/a.jpg", 281),
        ("images/b.jpg", None),
        ("images/a 3.jpg", 0),
        ("images/a 3.jpg", None),
    ]
    assert all(sample.image.is_file() and sample.lines is None for sample in found)


def test_where_text_is_not_known_that_is_no_page_without_text(folder: Path) -> None:
    unknown, empty = labels.read(listed(folder, "images/a.jpg", "images/b.jpg\t[]"))
    assert labels.text_of(empty) == ()
    with pytest.raises(DataError, match=r"images/a\.jpg has no label with its lines"):
        labels.text_of(unknown)


def test_an_image_with_a_class_that_is_not_there_is_named_with_its_line(folder: Path) -> None:
    file = listed(folder, "images/c.jpg 3")
    error = refusal(file)
    assert "the file images/c.jpg does not exist" in error.message
    assert error.where == f"{file}:1"


def test_a_row_without_a_tab_is_named_with_its_line(folder: Path) -> None:
    file = listed(folder, "images/a.jpg []")
    error = refusal(file)
    assert "no tab" in error.message
    assert error.where == f"{file}:1"


@pytest.mark.parametrize("name", ["images/c.jpg", "images", ""])
def test_an_image_that_is_not_there_is_named_with_its_line(folder: Path, name: str) -> None:
    file = listed(folder, "", f"{name}\t[]")
    error = refusal(file)
    assert f"the file {name} does not exist" in error.message
    assert error.where == f"{file}:2"


@pytest.mark.parametrize("rows", [(), ("", "  ", "")])
def test_a_list_without_an_image_is_refused(folder: Path, rows: tuple[str, ...]) -> None:
    assert "lists no sample" in refusal(listed(folder, *rows)).message


def test_a_missing_list_is_refused(folder: Path) -> None:
    assert refusal(folder / "validation.txt").message == "the label file validation.txt is missing"


def test_a_list_that_is_not_utf8_is_refused(folder: Path) -> None:
    label = json.dumps([entry("收据")], ensure_ascii=False)
    assert "not UTF-8" in refusal(listed(folder, f"images/a.jpg\t{label}", encoding="gbk")).message
