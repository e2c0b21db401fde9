"""The artifact store: an artifact is there whole, with a manifest of its files, or it is not there.

A builder works in a directory of its own below `partial/`. When it is done, the manifest is written, all files are
synced, and one rename makes the artifact visible. What a killed builder left is cleared by the next one.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

from filelock import FileLock, Timeout

from toolkit.store import digest
from toolkit.store.durable import sync

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Key:
    """All that an artifact depends on: the stage, its options, its inputs' keys, code and package versions."""

    stage: str
    name: str
    ingredients: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of the key, in hex."""
        return digest.of_value({"stage": self.stage, "name": self.name, **self.ingredients})


@dataclass(frozen=True)
class Artifact:
    """A finished result.

    Attributes:
        path: its directory, which nobody changes any more.
        key: digest of all that went in.
        info: what the builder reported.
    """

    path: Path
    key: str
    info: Mapping[str, Any]


class Store:
    """Artifacts in a directory, by stage and key."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def get(self, key: Key) -> Optional[Artifact]:
        """The artifact of `key`, if it is there and its files are those of its manifest; else None."""
        path = self._path(key)
        try:
            manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not _intact(path, manifest, key):
            logger.warning("%s has been changed since it was built; it is built again", path)
            return None
        return Artifact(path, key.digest, manifest["info"])

    def build(self, key: Key, builder: Callable[[Path], Mapping[str, Any]]) -> Artifact:
        """The artifact of `key`, made by `builder` where it is not there yet.

        Args:
            builder: fills the directory that it is given, and returns what the manifest shall say of it.
        """
        with self._lock(key):
            found = self.get(key)
            return found if found is not None else self._build(key, builder)

    def _build(self, key: Key, builder: Callable[[Path], Mapping[str, Any]]) -> Artifact:
        partial = self.directory / "partial"
        partial.mkdir(parents=True, exist_ok=True)
        workplace = Path(tempfile.mkdtemp(prefix=f"{_short(key)}-", dir=partial))
        started = time.monotonic()
        try:
            info = dict(builder(workplace))
            _write_manifest(workplace, key, info, time.monotonic() - started)
            self._publish(workplace, self._path(key))
        finally:
            shutil.rmtree(workplace, ignore_errors=True)
        return Artifact(self._path(key), key.digest, info)

    def _publish(self, workplace: Path, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            # A damaged artifact: nobody trusts it, so it may go before the new one comes.
            shutil.rmtree(path)
        workplace.chmod(0o755)
        workplace.rename(path)
        sync(path.parent)

    def _path(self, key: Key) -> Path:
        return self.directory / key.stage / f"{key.name}-{key.digest[:16]}"

    @contextmanager
    def _lock(self, key: Key) -> Iterator[None]:
        locks = self.directory / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with FileLock(str(locks / f"{_short(key)}.lock")):
            for path in (self.directory / "partial").glob("*-*-*"):
                _clear_leftover(path, locks, own=_short(key))
            yield


def _short(key: Key) -> str:
    """The name of a key in file names."""
    return f"{key.stage}-{key.digest[:16]}"


def _clear_leftover(path: Path, locks: Path, own: str) -> None:
    """Remove a partial directory if its builder is gone: nobody else holds the lock of its key."""
    name = path.name.rpartition("-")[0]
    if name == own:
        shutil.rmtree(path, ignore_errors=True)
        return
    try:
        with FileLock(str(locks / f"{name}.lock"), timeout=0):
            shutil.rmtree(path, ignore_errors=True)
    except Timeout:
        logger.debug("%s is being built", path)


def _write_manifest(directory: Path, key: Key, info: Mapping[str, Any], seconds: float) -> None:
    """Write it; `seconds` is what the builder took, with all that it built on the way."""
    manifest = {
        "stage": key.stage,
        "name": key.name,
        "key": key.digest,
        "ingredients": key.ingredients,
        "info": info,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(seconds, 1),
        "files": {str(path.relative_to(directory)): _entry(path) for path in digest.files_in(directory)},
    }
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False), encoding="utf-8")
    for path in digest.files_in(directory):
        sync(path)
    sync(directory)


def _entry(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": digest.of_file(path)}


def altered(directory: Path) -> list[str]:
    """The files of an artifact that are not as its manifest has them, or of which one has more or less than the other.

    A directory without a manifest is no artifact, and nothing is known of its files.
    """
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except ValueError:
        return [MANIFEST]
    return _altered(directory, manifest)


def _altered(directory: Path, manifest: Mapping[str, Any]) -> list[str]:
    found = {str(path.relative_to(directory)): path for path in digest.files_in(directory)}
    found.pop(MANIFEST, None)
    known: Mapping[str, Any] = manifest["files"]
    common = sorted(set(found) & set(known))
    return sorted(set(found) ^ set(known)) + [name for name in common if not _is(found[name], known[name])]


def _intact(directory: Path, manifest: Any, key: Key) -> bool:
    """Whether the manifest is that of `key`, and the files are those of the manifest, none more and none less."""
    return (
        isinstance(manifest, dict) and manifest.get("key") == key.digest and not _altered(directory, manifest)
    )


def _is(path: Path, entry: Mapping[str, Any]) -> bool:
    return bool(path.stat().st_size == entry["bytes"] and digest.of_file(path) == entry["sha256"])
