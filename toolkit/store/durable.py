"""Files that are whole whenever the power fails or a process is killed: the old content or the new, nothing between."""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Have the file or directory on disk before anything that depends on it is."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write(path: Path, text: str) -> None:
    """Put `text` in the place of what the file held; it is on disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        sync(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync(path.parent)


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
