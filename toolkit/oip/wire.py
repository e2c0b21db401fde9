"""What can be known of a serialized message before an object is made of each of its fields.

An empty field takes two bytes: of a ModelInferRequest of 16 MB that would be eight million objects, which takes seconds
in which nothing else is answered. https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from toolkit.oip.errors import OipError

# Raw and packed contents are one field; only BYTES in `bytes_contents` take one for each element.
MAX_FIELDS = 10_000

# Names are looked for among so many: to go over millions takes seconds.
_LOOKED_AT = 1000

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_TENSORS = {5, 6}
_CONTENTS = 5


def check(request: bytes) -> None:
    """
    Raises:
        OipError: the request, its tensors and their contents have more than `MAX_FIELDS` fields together.
    """
    for number, _ in enumerate(_fields_within(memoryview(request)), 1):
        if number > MAX_FIELDS:
            raise OipError(
                f"the request has more than {MAX_FIELDS} fields; send contents raw, in `raw_input_contents`"
            )


def text(message: bytes, field: int) -> str:
    """The field of that number, which is a text, as a parser would read it; empty if it has none."""
    found = [
        content for number, content in islice(_fields(memoryview(message)), _LOOKED_AT) if number == field
    ]
    return bytes(found[-1]).decode("utf-8", errors="replace") if found else ""


def _fields_within(request: memoryview) -> Iterator[int]:
    """The numbers of all fields of the request, of its tensors, and of their contents."""
    for outer, tensor in _fields(request):
        yield outer
        for inner, contents in _fields(tensor) if outer in _TENSORS else ():
            yield inner
            for innermost, _ in _fields(contents) if inner == _CONTENTS else ():
                yield innermost


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of each field, as far as it can be read: what is malformed is the parser's affair."""
    at = 0
    while at < len(message):
        try:
            tag, at = _varint(message, at)
            size = 0
            if tag & 7 == _LENGTH:
                size, at = _varint(message, at)
            elif tag & 7 == _VARINT:
                _, at = _varint(message, at)
            elif tag & 7 in (_FIXED64, _FIXED32):
                at += 8 if tag & 7 == _FIXED64 else 4
            else:
                return
        except IndexError:
            return
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that begins at `at`, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError(at)
