"""The manifest of a bundle: every file with its digest, and the chain of digests that led to them.

    name, version, toolkit     what it is, and what made it
    models, end_to_end         what is served, with the gate's verdict, accuracy and latency
    cpu                        instruction sets that each part of the release needs
    chain                      source -> optimized -> calibration data -> candidate -> serving directory -> configs
    environment                lock file, packages and Python
    files                      bytes and SHA-256 of everything in the bundle but the manifest itself
    digest                     of all of this

Nothing in it depends on when, where or by whom the bundle was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from toolkit.bundle import document
from toolkit.bundle.place import MANIFEST
from toolkit.errors import ReleaseError
from toolkit.store import digest

FORMAT = 1


def write(directory: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Write the manifest of what lies in `directory`; it with its digest.

    Args:
        content: all but the files.
    """
    listed = {name: entry(path) for name, path in files(directory)}
    document.write(directory / MANIFEST, {**content, "format": FORMAT, "files": listed})
    return document.read(directory / MANIFEST)


def read(path: Path) -> dict[str, Any]:
    """The manifest in `path`.

    Raises:
        ReleaseError: it is missing, changed, or of another format.
    """
    found = document.read(path)
    if found.get("format") != FORMAT:
        raise ReleaseError(
            f"the manifest has the format {found.get('format')}, this toolkit knows {FORMAT}",
            where=str(path),
            remedy="use the toolkit that made the release, or a later one",
        )
    return found


def entry(path: Path) -> dict[str, Any]:
    """A file as manifests list it."""
    return {"bytes": path.stat().st_size, "sha256": digest.of_file(path)}


def files(directory: Path) -> Iterator[tuple[str, Path]]:
    """What a manifest lists: all files but itself, by their names in the bundle, sorted."""
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if name != MANIFEST and (path.is_symlink() or not path.is_dir()):
            yield name, path


def tree(listed: Mapping[str, Mapping[str, Any]], names: Iterable[str]) -> str:
    """SHA-256 over some of a manifest's files, and over their names."""
    return digest.of_value({name: listed[name]["sha256"] for name in names})


def problems(directory: Path, listed: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How `directory` differs from what its manifest lists, a line for each file; empty if it does not."""
    found = dict(files(directory))
    lines = [f"{name} is missing" for name in listed if name not in found]
    for name, path in found.items():
        if name not in listed:
            lines.append(f"{name} is not of the release")
        elif path.is_symlink() or not path.is_file():
            lines.append(f"{name} is no plain file")
        elif entry(path) != listed[name]:
            lines.append(f"{name} has been changed")
    return sorted(lines)
