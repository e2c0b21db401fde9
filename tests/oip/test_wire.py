from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oip.tensors import tensors
from toolkit.oip import codec, messages, wire
from toolkit.oip.errors import OipError

MANY = 8_000_000


def within(number: int, content: bytes) -> bytes:
    """A field that holds a message."""
    size, length = b"", len(content)
    while length > 0x7F:
        size, length = size + bytes([length & 0x7F | 0x80]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content


def empty(name: str, kind: Any) -> bytes:
    """An empty field."""
    return bytes([kind.fields_by_name[name].number << 3 | 2, 0])


REQUEST = messages.ModelInferRequest.DESCRIPTOR
TENSOR = REQUEST.fields_by_name["inputs"].message_type
CONTENTS = TENSOR.fields_by_name["contents"].message_type


@pytest.mark.parametrize(
    "request_of",
    [
        pytest.param(lambda count: empty("inputs", REQUEST) * count, id="inputs"),
        pytest.param(lambda count: empty("outputs", REQUEST) * count, id="outputs"),
        pytest.param(lambda count: empty("parameters", REQUEST) * count, id="parameters"),
        pytest.param(lambda count: empty("raw_input_contents", REQUEST) * count, id="raw contents"),
        pytest.param(
            lambda count: within(5, empty("parameters", TENSOR) * count), id="an input's parameters"
        ),
        pytest.param(
            lambda count: within(5, within(5, empty("bytes_contents", CONTENTS) * count)),
            id="an input's contents",
        ),
    ],
)
def test_millions_of_fields_are_refused_at_once(request_of: Any) -> None:
    request = request_of(MANY)
    began = time.monotonic()
    with pytest.raises(OipError, match="more than 10000 fields"):
        wire.check(request)
    assert time.monotonic() - began < 1
    wire.check(request_of(wire.MAX_FIELDS - 2))


@given(st.lists(tensors(), min_size=1, max_size=3))
def test_a_request_that_can_be_made_passes(items: list[tuple[str, Any]]) -> None:
    arrays = {str(index): array for index, (_, array) in enumerate(items)}
    datatypes = {str(index): name for index, (name, _) in enumerate(items)}
    wire.check(codec.request("m", arrays, datatypes).SerializeToString())


def test_as_many_fields_are_counted_as_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    request = codec.request("m", {"x": np.zeros((1, 3), np.float32)}, {"x": "FP32"})
    # model_name, the input with its name, datatype and (packed) shape, and its contents.
    monkeypatch.setattr(wire, "MAX_FIELDS", 6)
    wire.check(request.SerializeToString())
    monkeypatch.setattr(wire, "MAX_FIELDS", 5)
    with pytest.raises(OipError):
        wire.check(request.SerializeToString())


@given(st.binary(max_size=200))
def test_what_is_malformed_is_left_to_the_parser(data: bytes) -> None:
    wire.check(data)
