"""Where the parts of a bundle lie.

<name>-<version>/            the bundle
  manifest.json              all digests; see `manifest.py`
  sbom.cdx.json              packages and models, in CycloneDX
  requirements.lock          the environment
  release/                   what `toolkit.stages.render` made: see `toolkit.serving.release`
  report/                    the page and the JSON of the evaluation
<name>-<version>.tar.zst     the same as one file
<name>-<version>.seal.json   when it was made, the digests of both, and whose signature it has
<name>-<version>.sig         the signature of the seal, 64 bytes
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import ReleaseError

MANIFEST, SBOM, LOCK = "manifest.json", "sbom.cdx.json", "requirements.lock"
RELEASE, REPORT = "release", "report"
ARCHIVE_SUFFIX = ".tar.zst"
_SEAL_SUFFIX, _SIGNATURE_SUFFIX = ".seal.json", ".sig"


@dataclass(frozen=True)
class Place:
    """A bundle's directory, and the files beside it; none of them need be there."""

    directory: Path

    @property
    def title(self) -> str:
        """Name and version."""
        return self.directory.name

    @property
    def manifest(self) -> Path:
        """The manifest within the directory."""
        return self.directory / MANIFEST

    @property
    def release(self) -> Path:
        """The release within the directory."""
        return self.directory / RELEASE

    @property
    def report(self) -> Path:
        """The report within the directory."""
        return self.directory / REPORT

    @property
    def archive(self) -> Path:
        """The archive beside it."""
        return self._beside(ARCHIVE_SUFFIX)

    @property
    def seal(self) -> Path:
        """The seal beside it."""
        return self._beside(_SEAL_SUFFIX)

    @property
    def signature(self) -> Path:
        """The signature beside it."""
        return self._beside(_SIGNATURE_SUFFIX)

    def _beside(self, suffix: str) -> Path:
        return self.directory.with_name(self.title + suffix)


def find(named: str, dist: Path) -> Place:
    """The bundle that a user names: by its directory, its archive, or its name and version in `dist`.

    Raises:
        ReleaseError: neither directory nor archive is there.
    """
    for path in (Path(named), dist / named):
        place = Place(path.resolve().with_name(path.resolve().name.removesuffix(ARCHIVE_SUFFIX)))
        if place.manifest.is_file() or place.archive.is_file():
            return place
    raise ReleaseError(
        f"there is no release {named!r}",
        where=str(dist),
        remedy="`make releases` lists those that are there; RELEASE= takes a directory, an archive or a name of these",
    )
