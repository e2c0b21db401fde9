"""The bundles of a directory, as lists show them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from toolkit.bundle import manifest, seal, version
from toolkit.bundle.place import MANIFEST, Place
from toolkit.errors import ReleaseError


@dataclass(frozen=True)
class Entry:
    """A bundle in short.

    Attributes:
        created: in UTC, as in ISO 8601; None: there is no seal that says.
        signer: the public key in hex, that the seal names; None: nobody has signed.
        precisions: of each model that it serves.
        drop: points that whole answers lose against native FP32.
        problem: why its manifest or seal cannot be believed; the files themselves are not looked at.
    """

    name: str
    version: str
    path: str
    created: Optional[str] = None
    signer: Optional[str] = None
    precisions: Optional[dict[str, str]] = None
    drop: Optional[float] = None
    problem: Optional[str] = None


def bundles(dist: Path) -> list[Entry]:
    """Those in `dist`, by name, the oldest version first."""
    found = [_entry(Place(path.parent)) for path in dist.glob(f"[!.]*/{MANIFEST}")]
    return sorted(found, key=lambda item: (item.name, _order(item.version)))


def _entry(place: Place) -> Entry:
    path = str(place.directory)
    try:
        told, sealed = manifest.read(place.manifest), seal.read(place) or {}
    except ReleaseError as error:
        name, _, rest = place.title.partition("-")
        return Entry(name, rest, path, problem=error.message)
    return Entry(
        told["name"],
        told["version"],
        path,
        sealed.get("created"),
        sealed.get("signer"),
        {name: item["precision"] for name, item in told["models"].items()},
        (told["end_to_end"].get("verdict") or {}).get("drop"),
    )


def _order(text: str) -> Any:
    return (1, version.order(text)) if version.is_semantic(text) else (0, ())
