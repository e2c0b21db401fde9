"""Digests of values, files and source code."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Optional

_CHUNK = 1 << 20


def of_value(value: Any) -> str:
    """SHA-256 of a JSON value, in hex; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def of_file(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def of_tree(directory: Path, pattern: str = "**/*", without: Sequence[str] = ()) -> str:
    """SHA-256 over the relative names and contents of the files in `directory` that match `pattern`.

    Args:
        without: patterns of names that are left out.
    """
    kept = [path for path in files_in(directory, pattern) if not any(path.match(name) for name in without)]
    return of_value({str(path.relative_to(directory)): of_file(path) for path in kept})


def files_in(directory: Path, pattern: str = "**/*") -> Sequence[Path]:
    """The files below `directory`, sorted, without Python's caches."""
    return sorted(
        path for path in directory.glob(pattern) if path.is_file() and "__pycache__" not in path.parts
    )


@functools.cache
def of_code(*places: Path) -> str:
    """SHA-256 over Python modules and packages, so that a change of code is a change of key.

    Asked once in a process: code that is edited while it runs is another version from the next run on.
    """
    return of_value([of_tree(place, "**/*.py") if place.is_dir() else of_file(place) for place in places])


def version_of(package: str) -> Optional[str]:
    """The installed version of `package`; None: it is not there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def of_packages(names: Iterable[str]) -> dict[str, str]:
    """The installed versions of the packages `names`."""
    return {name: importlib.metadata.version(name) for name in names}
