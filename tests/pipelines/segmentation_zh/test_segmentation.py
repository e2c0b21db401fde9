from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit import pipeline
from toolkit.data import dataset
from toolkit.pipeline import RequestTooLarge

FOLDER = Path(__file__).parents[3] / "pipelines" / "segmentation_zh"
OPTIONS = {"seed": 5, "counts": {"calibration": 20, "search": 20, "validation": 200}}


def module(name: str, attribute: str) -> Any:
    return sys.modules[pipeline.resolve(FOLDER, f"{name}:{attribute}").__module__]


ops, texts = module("ops", "Segmenter"), module("texts", "build")


def test_a_character_has_the_number_of_its_place_and_an_unknown_one_the_last() -> None:
    # As in the file word.dic of LAC 2.1.2.
    assert ops.numbers(" !09").tolist() == [[0], [1], [15], [24]]
    assert ops.numbers("\U0001f426").tolist() == [[8223]]
    assert ops.numbers("我").dtype == np.int64


@pytest.mark.parametrize(
    ("given", "same"), [("１２％", "12%"), ("舉會", "举会"), ("LAC", "lac"), ("\u3000", " ")]
)
def test_width_case_and_tradition_make_no_difference_to_the_model(given: str, same: str) -> None:
    assert ops.numbers(given).tolist() == ops.numbers(same).tolist()


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ([0, 2, 3, 0, 1, 2], ["北京", "的", "天安门"]),
        ([3, 3, 3, 3, 3, 3], ["北", "京", "的", "天", "安", "门"]),
        ([1, 2, 0, 1, 1, 1], ["北京", "的天安门"]),
        ([2, 2, 2, 2, 2, 2], ["北京的天安门"]),
    ],
)
def test_words_begin_where_the_tags_say(tags: list[int], words: list[str]) -> None:
    assert list(ops.words("北京的天安门", np.array(tags))) == words


def test_white_space_is_no_word() -> None:
    assert list(ops.words("a b", np.array([3, 3, 3]))) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        (" \n\t\n", []),
        ("一二\r\n\n 三四 \n", ["一二", "三四"]),
        ("一二，三四五。六七八九十", ["一二，", "三四五。", "六七八九十"]),
        ("一二三四五六七八", ["一二三四五", "六七八"]),
    ],
)
def test_a_text_is_cut_into_its_lines_and_long_ones_behind_a_punctuation_mark(
    text: str, pieces: list[str]
) -> None:
    assert list(ops.pieces(text, 5)) == pieces


def test_the_pieces_of_a_text_are_inferences_and_their_words_one_list() -> None:
    step = ops.Segmenter({"longest": 256})
    payload = ops.decode({"text": "我爱北京\n再见"}, {"max_characters": 100})
    feeds = step.preprocess(payload)
    assert [feed["characters"].shape for feed in feeds] == [(4, 1), (2, 1)]
    outputs = [{"tags": np.array([[3], [3], [0], [2]])}, {"tags": np.array([[0], [2]])}]
    assert ops.answer(step.postprocess(payload, outputs)) == {"words": ["我", "爱", "北京", "再见"]}


def test_a_text_with_nothing_in_it_has_no_words() -> None:
    step = ops.Segmenter({"longest": 256})
    payload = ops.decode({"text": " \n"}, {"max_characters": 100})
    assert step.preprocess(payload) == []
    assert ops.answer(step.postprocess(payload, [])) == {"words": []}


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(RequestTooLarge, match="101 characters, at most 100"):
        ops.decode({"text": "字" * 101}, {"max_characters": 100})


def test_no_text_stands_in_two_splits_and_all_parts_are_filled_in(tmp_path: Path) -> None:
    texts.build(tmp_path, OPTIONS, lambda done, total: None)
    found = dataset.load(tmp_path)
    samples = (*found.calibration, *found.search, *found.validation)
    written = [sample.file.read_text(encoding="utf-8") for sample in samples]
    assert len(set(written)) == len(written) == 240
    assert found.warnings == ()
    assert not any("{" in text or "}" in text for text in written)
    assert len({len(text) for text in written}) > 50


def test_the_same_seed_writes_the_same_texts(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        texts.build(tmp_path / name, OPTIONS, lambda done, total: None)
    assert dataset.load(tmp_path / "one").digest() == dataset.load(tmp_path / "two").digest()
