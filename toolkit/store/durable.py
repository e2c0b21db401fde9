"""Files that are whole whenever the power fails or a process is killed: the old content or the new, nothing between."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def sync(path: Path) -> None:
    """Have the file or directory on disk before anything that depends on it is."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(path: Path, mode: int | None = None) -> Iterator[IO[bytes]]:
    """A file to write into, which takes the place of `path` when the `with` block ends without an error.

    Args:
        mode: of the file; None: what the process's umask leaves.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            partial.chmod(mode)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync(path.parent)


def write(path: Path, text: str) -> None:
    """Put `text` in the place of what the file held; it is on disk when this returns."""
    with replacing(path) as file:
        file.write(text.encode())


def append(path: Path, line: str) -> None:
    """Add a line to the file; it is on disk when this returns.

    The end of a line that was torn, by a full disk or a crash, is put in front of it, so that it costs no second line.
    """
    is_new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b", buffering=0) as file:
        torn = file.tell() > 0 and _last_byte(path) != b"\n"
        file.write(("\n" if torn else "").encode() + line.encode() + b"\n")
        os.fsync(file.fileno())
    if is_new:
        sync(path.parent)


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)
