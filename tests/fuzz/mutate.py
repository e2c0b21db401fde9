"""Inputs that are nearly right: seeds with bits flipped, parts cut, doubled, spliced and replaced."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

# What parsers look for, or stumble over.
TOKENS = (
    b"", b"\x00", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"0", b"-1", b"1e999", b"NaN",
    b"9" * 30, b"null", b"true", b"{}", b"[]", b'""', b"[[[[[[[[", b"\\u0000", b"\\ud800", "字".encode(), b"=", b"==",
    b"\r\n", b"\r\n\r\n", b"--", b";", b",", b":", b'"', b"name=", b"boundary=", b"BYTES", b"FP32", b"INT64",
    b"binary_data_size", b"\xff\xd9", b"\xff\xd8\xff", b"IEND", b"IDAT", b"acTL", b"GIF89a", b"RIFF", b"II*\x00",
)  # fmt: skip

LARGEST = 1 << 20

Mutation = Callable[[random.Random, bytearray, Sequence[bytes]], None]


def _place(rng: random.Random, data: bytearray) -> int:
    return rng.randrange(len(data) + 1)


def flip(rng: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    """Change one bit."""
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def overwrite(rng: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    """Put an interesting number in the place of one, two or four bytes: lengths, sizes, offsets."""
    size = rng.choice((1, 2, 4))
    value = rng.choice((0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)) % (1 << 8 * size)
    at = _place(rng, data)
    data[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))


def cut(rng: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    """Leave a part out."""
    begin, end = sorted((_place(rng, data), _place(rng, data)))
    del data[begin:end]


def end_early(rng: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    """Leave the rest out."""
    del data[_place(rng, data) :]


def double(rng: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    """Say a part again."""
    begin, end = sorted((_place(rng, data), _place(rng, data)))
    data[end:end] = data[begin:end]


def splice(rng: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    """Go on with the rest of another input."""
    other = rng.choice(corpus)
    data[_place(rng, data) :] = other[rng.randrange(len(other) + 1) :]


def insert(rng: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    """Put in a token."""
    at = _place(rng, data)
    data[at:at] = rng.choice(TOKENS)


MUTATIONS: tuple[Mutation, ...] = (flip, flip, overwrite, cut, end_early, double, splice, insert, insert)


def mutated(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """One of the corpus after a few changes."""
    data = bytearray(rng.choice(corpus))
    for _ in range(rng.choice((1, 1, 2, 3, 5, 8))):
        rng.choice(MUTATIONS)(rng, data, corpus)
    return bytes(data[:LARGEST])
