from __future__ import annotations

import time
from typing import get_args

import pytest

from toolkit.client import protocol
from toolkit.content import read
from toolkit.content.kinds import FIELDS, Kind
from toolkit.content.read import ContentError


def test_every_kind_has_a_field() -> None:
    assert set(FIELDS) == set(get_args(Kind))
    assert FIELDS["image"] == protocol.IMAGE_KEY


def test_an_image_is_left_to_the_pipeline() -> None:
    given = {"image": b"\xff\xd8", "note": "x"}
    assert read.fields("image", given) == given
    assert read.fields("image", {}) == {}


@pytest.mark.parametrize("data", ["字 a", "字 a".encode()])
def test_a_text_is_a_str_however_it_came(data: object) -> None:
    assert read.fields("text", {"text": data}) == {"text": "字 a"}  # type: ignore[dict-item]


@pytest.mark.parametrize("data", ['{"x": [1, 2.5, "字"]}', '{"x": [1, 2.5, "字"]}'.encode()])
def test_json_is_parsed_however_it_came(data: object) -> None:
    assert read.fields("json", {"inputs": data}) == {"inputs": {"x": [1, 2.5, "字"]}}  # type: ignore[dict-item]


def test_a_text_that_names_a_number_which_json_has_not_is_a_text() -> None:
    assert read.value(b'["Infinity", 1e308]') == ["Infinity", 1e308]


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("text", {}, "no field `text`"),
        ("text", {"image": b"x"}, "no field `text`"),
        ("text", {"text": ""}, "`text` is empty"),
        ("text", {"text": b"ab\xff"}, "`text` is not UTF-8: invalid start byte at byte 2"),
        ("json", {}, "no field `inputs`"),
        ("json", {"inputs": b""}, "`inputs` is not JSON"),
        ("json", {"inputs": b"null"}, "`inputs` is neither a JSON object nor an array"),
        ("json", {"inputs": b"[NaN]"}, "`inputs` is not JSON"),
        ("json", {"inputs": b'["\\udc00"]'}, "`inputs` is not JSON"),
        ("json", {"inputs": b"[" + b"9" * 10_000 + b"]"}, "`inputs` is not JSON: number out of range"),
        ("json", {"inputs": b"[" * 100_000}, "`inputs` is not JSON: recursion limit"),
        ("json", {"inputs": b"[1e999]"}, "`inputs` has a number beyond those of 64 bits"),
        ("json", {"inputs": b'{"a": [0, {"b": [-1e999]}]}'}, "`inputs` has a number beyond those of 64 bits"),
    ],
)
def test_what_is_not_of_its_kind_is_refused(kind: Kind, given: dict[str, bytes], message: str) -> None:
    with pytest.raises(ContentError, match=message):
        read.fields(kind, given)


def test_more_values_than_anybody_should_wait_for_are_refused_unread() -> None:
    data = b"[" + b"1," * read.MAX_VALUES + b"1]"
    began = time.process_time()
    with pytest.raises(ContentError, match="commas"):
        read.value(data)
    assert time.process_time() - began < 0.2
