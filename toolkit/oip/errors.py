"""What is wrong with a request, or with an answer, of the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class OipError(Exception):
    """What was sent, or asked for, is not what the protocol knows; the text says what, and at which tensor."""


def shown(name: str) -> str:
    """A name of a client's as an error quotes it: not longer than a line, and no second line."""
    return repr(name if len(name) <= 80 else name[:80] + "...")


@contextmanager
def about(what: str) -> Iterator[None]:
    """Have errors from within say what they are about: `input 'image': ...`.

    Raises:
        OipError: one was raised within.
    """
    try:
        yield
    except OipError as error:
        raise OipError(f"{what}: {error}") from error
