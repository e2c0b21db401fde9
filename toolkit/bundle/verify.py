"""Whether a bundle is what was released, to the byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from toolkit.bundle import manifest, seal
from toolkit.bundle.place import MANIFEST, Place
from toolkit.errors import ReleaseError

_TOLD = 20


@dataclass(frozen=True)
class Verified:
    """A bundle without a fault.

    Attributes:
        manifest: None: there is only the archive, which is the one that was sealed.
        seal: None: there is none, so nothing is known of an archive, and nobody has signed.
    """

    place: Place
    manifest: Optional[Mapping[str, Any]]
    seal: Optional[Mapping[str, Any]]

    @property
    def signer(self) -> Optional[str]:
        """The public key, in hex, whose signature it has."""
        return self.seal["signer"] if self.seal else None


def check(place: Place, key: Optional[Path] = None) -> Verified:
    """Compare the directory with its manifest, manifest and archive with the seal, the seal with its signature.

    Args:
        key: that must have signed it; None: a signature has to be right, whose it ever is.

    Raises:
        ReleaseError: anything differs; it names each file.
    """
    wrong = seal.problems(place, key)
    found = None
    if place.directory.is_dir():
        try:
            found = manifest.read(place.manifest)
        except ReleaseError as error:
            raise _refused(place, [*wrong, error.message]) from error
        wrong += manifest.problems(place.directory, found["files"])
        if f"{found['name']}-{found['version']}" != place.title:
            wrong.append(f"the manifest is that of {found['name']}-{found['version']}")
    elif not place.seal.is_file():
        wrong.append(f"{place.seal.name} is missing, without which nothing is known of the archive")
    if wrong:
        raise _refused(place, wrong)
    return Verified(place, found, seal.read(place))


def contents(directory: Path) -> None:
    """Compare a bundle in a directory of whatever name with its manifest.

    Raises:
        ReleaseError: anything differs; it names each file.
    """
    if wrong := manifest.problems(directory, manifest.read(directory / MANIFEST)["files"]):
        raise _refused(Place(directory), wrong)


def _refused(place: Place, wrong: Sequence[str]) -> ReleaseError:
    shown = [*wrong[:_TOLD], *([f"and {len(wrong) - _TOLD} more"] if len(wrong) > _TOLD else [])]
    return ReleaseError(
        f"{place.title} is not what was released:\n  - " + "\n  - ".join(shown),
        where=str(place.directory),
        remedy="take it anew from where it was released; do not deploy this one",
    )
