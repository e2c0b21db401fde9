"""Writing a bundle: it is there whole, as it was released, or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

from filelock import FileLock

from toolkit.bundle import archive, manifest, seal, verify
from toolkit.bundle.place import MANIFEST, Place
from toolkit.errors import ReleaseError
from toolkit.store import digest
from toolkit.store.durable import sync

_LOCK = ".lock"

Fill = Callable[[Path], Mapping[str, Any]]


@dataclass(frozen=True)
class Written:
    """A bundle.

    Attributes:
        new: whether it was not there before.
    """

    place: Place
    manifest: Mapping[str, Any]
    seal: Mapping[str, Any]
    new: bool


def write(dist: Path, name: str, version: str, fill: Fill, key: Optional[Path] = None) -> Written:
    """The bundle of a version in `dist`, with archive, seal and, where there is a key, signature.

    The same content again changes nothing; what is missing beside the directory is made anew.

    Args:
        fill: puts the content into the directory that it is given, and returns what the manifest shall say of it.

    Raises:
        ReleaseError: the version is there already with other content, or has been changed since.
    """
    dist.mkdir(parents=True, exist_ok=True)
    place = Place(dist.resolve() / f"{name}-{version}")
    with FileLock(str(dist / _LOCK)):
        for left in dist.glob(f".{place.title}.*"):
            # Of a command that was killed: nobody else is here.
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        found, new = _directory(place, {"name": name, "version": version}, fill)
        if not (place.archive.exists() and place.seal.exists()):
            archive.pack(place.directory, place.archive)
        sealed = seal.put(place, key)
        sync(dist)
        verify.check(place, key)
    return Written(place, found, sealed, new)


def unpack(place: Place) -> None:
    """Make the directory of a bundle from its archive, where it is not there; to be verified then.

    Raises:
        ReleaseError: the archive is damaged.
    """
    with FileLock(str(place.directory.parent / _LOCK)):
        if place.directory.exists():
            return
        workplace = Path(tempfile.mkdtemp(prefix=f".{place.title}.", dir=place.directory.parent))
        try:
            archive.unpack(place.archive, workplace)
            _publish(workplace, place.directory)
        finally:
            shutil.rmtree(workplace, ignore_errors=True)


def _directory(place: Place, title: Mapping[str, str], fill: Fill) -> tuple[dict[str, Any], bool]:
    """The manifest of the directory, and whether it is new."""
    workplace = Path(tempfile.mkdtemp(prefix=f".{place.title}.", dir=place.directory.parent))
    try:
        made = manifest.write(workplace, {**fill(workplace), **title})
        if place.directory.exists():
            _refuse_other(place, made)
            return made, False
        _refuse_sealed(place, workplace)
        _publish(workplace, place.directory)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    return made, True


def _refuse_other(place: Place, made: Mapping[str, Any]) -> None:
    there = verify.check(place).manifest or {}
    if there["digest"] == made["digest"]:
        return
    names = {**there["files"], **made["files"]}
    changed = [name for name in sorted(names) if there["files"].get(name) != made["files"].get(name)]
    raise _taken(
        place, f" ({', '.join(changed[:5])}{', ...' if len(changed) > 5 else ''})" if changed else ""
    )


def _refuse_sealed(place: Place, workplace: Path) -> None:
    """A version whose directory is gone is that version all the same."""
    there = seal.read(place)
    if there is not None and there["manifest"] != digest.of_file(workplace / MANIFEST):
        raise _taken(place, "")
    if there is None and place.archive.exists():
        raise ReleaseError(
            f"{place.title} has an archive, but neither directory nor seal",
            where=str(place.archive),
            remedy="remove the archive, or release another version",
        )


def _taken(place: Place, what: str) -> ReleaseError:
    return ReleaseError(
        f"{place.title} is there already with other content{what}",
        where=str(place.directory),
        remedy="a version never changes: release the next one; `make diff` compares two",
    )


def _publish(workplace: Path, directory: Path) -> None:
    """Give all files one mode, have them on disk, and make them visible by one rename."""
    for path in sorted(workplace.rglob("*"), reverse=True):
        path.chmod(0o755 if path.is_dir() else 0o644)
        sync(path)
    workplace.chmod(0o755)
    sync(workplace)
    workplace.rename(directory)
