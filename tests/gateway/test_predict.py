"""What a form or JSON may not do: every request is parsed in the one event loop."""

from __future__ import annotations

import time
from typing import Any, Callable

import pytest

from toolkit.gateway import legacy, predict, schemas
from toolkit.gateway.faults import BadRequest
from toolkit.gateway.intake import IMAGE

FORM = "multipart/form-data; boundary=b"
FIELD = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n'
END = b"\r\n--b--\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b'--b\r\nContent-Disposition: form-data; x="' + b";" * 500_000 + b"\r\n\r\nx" + END,
        b"--b\r\n" + b"a: b\r\n" * 500_000 + b"\r\nx" + END,
        b"--b\r\n" + b"a" * 4_000_000 + b": b\r\n\r\nx" + END,
        b"--b\r\n\r\n\r\n" * 500_000 + b"--b--\r\n",
        b"\r\n" * 2_000_000 + FIELD + b"x" + END,
    ],
    ids=["one long header", "many headers", "a long name", "many parts", "empty lines"],
)
def test_a_form_that_would_take_long_is_refused_at_once(body: bytes) -> None:
    began = time.process_time()
    with pytest.raises(BadRequest, match="form cannot be read"):
        predict.content_of(FORM, body, IMAGE)
    # Minutes, if all were parsed.
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "image",
    [b"x" * 5_000_000, b"\r\n--a" * 100_000, b"\r\n--" * 20_000],
    ids=["plain", "like ends", "almost"],
)
def test_a_large_file_in_a_form_arrives_whole_whatever_is_in_it(image: bytes) -> None:
    other = b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\n' + b"y" * 300_000 + b"\r\n"
    assert predict.content_of(FORM, other + FIELD + image + END, IMAGE) == image


def test_what_follows_the_form_is_left_alone() -> None:
    assert predict.content_of(FORM, FIELD + b"x" + END + b"\r\n" * 500_000, IMAGE) == b"x"


PARSERS = (schemas.parse_predict, lambda data: legacy.parse(data, "ocr", IMAGE))


@pytest.mark.parametrize("parse", PARSERS, ids=["ours", "paddle"])
@pytest.mark.parametrize(
    "data",
    [
        b'{"image": "QUJD"' + b"".join(b',"%d":1' % n for n in range(300_000)) + b"}",
        b'{"key": [' + b",".join([b'"a"'] * 500_000) + b"]}",
        b'{"tensors": [' + b",".join([b"{}"] * 300_000) + b"]}",
    ],
    ids=["members", "keys", "tensors"],
)
def test_json_of_many_values_is_refused_before_it_is_parsed(
    parse: Callable[[bytes], Any], data: bytes
) -> None:
    began = time.process_time()
    with pytest.raises(BadRequest, match="commas"):
        parse(data)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("parse", PARSERS, ids=["ours", "paddle"])
@pytest.mark.parametrize(
    "data",
    [
        b'{"' + b"x" * 100_000 + b'": 1, "key": 5}',
        b'{"key": "' + b"x" * 100_000 + b'"}',
        b"{" + b",".join(b'"%d": 1' % n for n in range(900)) + b', "key": 5}',
    ],
    ids=["a long name", "a long value", "many mistakes"],
)
def test_a_message_about_json_is_short_whatever_the_client_sent(
    parse: Callable[[bytes], Any], data: bytes
) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(data)
    assert 10 < len(caught.value.message) < 1000
