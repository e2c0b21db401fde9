"""The seal beside a bundle: what is another each time, the digests of manifest and archive, and who signed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from toolkit.bundle import document, signature
from toolkit.bundle.place import Place
from toolkit.errors import ReleaseError
from toolkit.store import digest


def put(place: Place, key: Optional[Path]) -> dict[str, Any]:
    """Seal the bundle, and sign the seal where there is a key; what is sealed and signed like that already stays.

    Raises:
        ReleaseError: the key cannot sign.
    """
    signer = signature.signer(key) if key is not None else None
    before = _before(place)
    if before is not None and (key is None or (before["signer"] == signer and not problems(place, key))):
        return before
    content = {
        "title": place.title,
        **_digests(place),
        "created": before["created"] if before else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "sbom": {"serial_number": before["sbom"]["serial_number"] if before else uuid.uuid4().urn},
        "signer": signer,
    }
    # A signature of the seal before would be a wrong one.
    place.signature.unlink(missing_ok=True)
    signed = signature.sign(document.sealed(content).encode(), key) if key is not None else None
    document.write(place.seal, content)
    if signed is not None:
        document.replace(place.signature, signed)
    return document.read(place.seal)


def _before(place: Place) -> Optional[dict[str, Any]]:
    """The seal that is there, if it is that of this very bundle."""
    try:
        found = document.read(place.seal)
    except ReleaseError:
        return None
    now = _digests(place)
    return found if {name: found.get(name) for name in now} == now else None


def _digests(place: Place) -> dict[str, str]:
    return {"manifest": digest.of_file(place.manifest), "archive": digest.of_file(place.archive)}


def read(place: Place) -> Optional[dict[str, Any]]:
    """The seal; None: there is none.

    Raises:
        ReleaseError: it has been changed.
    """
    return document.read(place.seal) if place.seal.exists() else None


def problems(place: Place, key: Optional[Path]) -> list[str]:
    """What is wrong with the seal, the archive, the manifest and the signature, a line for each.

    Args:
        key: that must have signed, private or public; None: any, or none.

    Raises:
        ReleaseError: the key cannot be read.
    """
    wanted = signature.signer(key) if key is not None else None
    try:
        found = read(place)
    except ReleaseError as error:
        return [error.message]
    if found is None:
        return [f"{place.seal.name} is missing"] if key or place.signature.exists() else []
    if found["title"] != place.title:
        return [f"{place.seal.name} is that of {found['title']}"]
    return [*_changed(place, found), *_unsigned(place, found, wanted)]


def _changed(place: Place, found: Mapping[str, Any]) -> list[str]:
    parts = {"manifest": place.manifest, "archive": place.archive}
    return [
        f"{path.name} is not the one that was sealed"
        for name, path in parts.items()
        if path.exists() and digest.of_file(path) != found[name]
    ]


def _unsigned(place: Place, found: Mapping[str, Any], wanted: Optional[str]) -> list[str]:
    signer, name = found["signer"], place.signature.name
    if signer is None:
        told = [f"{name} is there, but the seal names no signer"] if place.signature.exists() else []
        return told if wanted is None else [*told, "it is not signed"]
    if not place.signature.is_file():
        return [f"{name} is missing"]
    if not signature.is_right(place.signature.read_bytes(), place.seal.read_bytes(), signer):
        return [f"{name} is no signature of the seal"]
    return [] if wanted in (None, signer) else [f"it was signed by another key, {signer[:16]}..."]
