"""Deploying a release of a version: nothing is built, and nothing is started of what is not as it was released."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import click

from toolkit import cpu
from toolkit.bundle import place, verify, write
from toolkit.bundle.place import Place
from toolkit.bundle.verify import Verified
from toolkit.errors import ReleaseError
from toolkit.serving import release

# Options that say how to build.
_BUILDING = ("data", "precision", "budget")


@dataclass(frozen=True)
class Bundled:
    """A verified bundle.

    Attributes:
        directory: the release in it that this processor runs.
        evaluation: what its report is of.
    """

    verified: Verified
    directory: Path
    evaluation: Mapping[str, Any]

    @property
    def title(self) -> str:
        """Name and version."""
        return self.verified.place.title

    @property
    def page(self) -> Path:
        """The report."""
        return self.verified.place.report / "index.html"


def refuse_building(options: Mapping[str, Any]) -> None:
    """Refuse options of a command that say how to build what is built already.

    Raises:
        click.UsageError: there is one.
    """
    for name in _BUILDING:
        if options.get(name) is not None:
            raise click.UsageError(f"--{name} does not go with --release, which is built already")


def take(named: str, dist: Path, key: Optional[Path], model: str) -> Bundled:
    """The bundle that a user names, verified; an archive without its directory is unpacked beside it first.

    Args:
        key: that must have signed it.
        model: the pipeline that is to be deployed.

    Raises:
        ReleaseError: it is missing, of another pipeline, or any byte of it has been changed.
    """
    found = place.find(named, dist)
    verified = verify.check(found, key)
    if verified.manifest is None:
        write.unpack(found)
        verified = verify.check(found, key)
    told = (verified.manifest or {})["name"]
    if told != model:
        raise ReleaseError(
            f"{found.title} is a release of {told}, not of {model}",
            where=str(found.directory),
            remedy=f"`make deploy MODEL={told} RELEASE={named}`",
        )
    evaluation = json.loads((found.report / "report.json").read_text(encoding="utf-8"))
    return Bundled(verified, release.fitting(found.release, cpu.levels()), evaluation)


def within(directory: Path) -> Path:
    """What this processor runs of a rendered release, or of a bundle, which has to be as its manifest says.

    Args:
        directory: it may have another name than the bundle had when it was made.

    Raises:
        ReleaseError: a byte of the bundle has been changed.
        TemplateError: it is neither.
    """
    lying = Place(directory)
    if lying.manifest.is_file() and lying.release.is_dir():
        verify.contents(directory)
        directory = lying.release
    return release.fitting(directory, cpu.levels())
