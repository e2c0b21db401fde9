"""What is deployed: the release that serves and the one before; `build/<model>/deployed.json`, which a reboot leaves.

The service writes it once a release serves and was verified, so it never names one that was only tried.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from toolkit.errors import ServiceError
from toolkit.store import artifact, durable
from toolkit.supervisor.settings import Settings

DEPLOYED_FILE = "deployed.json"

# Which models of a release answer: those that the gate chose, or the FP32 reference.
RELEASE, FP32 = "release", "fp32"


@dataclass(frozen=True)
class Target:
    """A release, which of its variants, and how the service runs it.

    Attributes:
        release: its directory, absolute.
        variant: `release` or `fp32`.
    """

    release: str
    settings: Settings
    variant: str = RELEASE

    @property
    def directory(self) -> Path:
        """Of the variant: a release that is complete by itself."""
        return Path(self.release) / self.variant if self.variant != RELEASE else Path(self.release)

    @property
    def label(self) -> str:
        """For people: `ocr-1.4.0`, or `ocr-1.4.0 in FP32`."""
        return _title(Path(self.release)) + ("" if self.variant == RELEASE else f" in {self.variant.upper()}")

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> Target:
        """What `to_json` wrote.

        Raises:
            TypeError, KeyError: it did not.
        """
        return cls(**{**data, "settings": Settings(**data["settings"])})

    def verify(self) -> None:
        """
        Raises:
            ServiceError: see `check`; or a file of the release is not as it was built.
        """
        self.check()
        names = artifact.altered(Path(self.release))
        if names:
            raise ServiceError(
                f"the release {self.label} has been changed since it was built: {', '.join(names[:3])}"
                + (f" and {len(names) - 3} more" if len(names) > 3 else ""),
                where=self.release,
                remedy="`make deploy` builds it anew",
            )

    def check(self) -> None:
        """
        Raises:
            ServiceError: there is no such variant, or the release is gone.
        """
        if not Path(self.release).is_dir():
            raise ServiceError(
                f"the release {self.label} is not there any more",
                where=self.release,
                remedy="`make deploy` builds one",
            )
        if not self.directory.is_dir():
            raise ServiceError(
                f"the release has no {self.variant.upper()} variant",
                where=self.release,
                remedy="what serves may be FP32 already: the gate, `make tune` or PRECISION=fp32 may have chosen that; "
                "else `make deploy` builds releases that have one",
            )


@dataclass(frozen=True)
class Start:
    """A pipeline that a service is to start with.

    Attributes:
        home: its folder in the build directory.
        provisional: it is recorded as deployed when a command confirms that it answers as it should, not at once.
    """

    home: Path
    target: Target
    provisional: bool = False

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; paths become absolute."""
        target = replace(self.target, release=str(Path(self.target.release).resolve()))
        return {"home": str(self.home.resolve()), "target": target.to_json(), "provisional": self.provisional}

    @classmethod
    def from_json(cls, data: Any) -> Start:
        """What `to_json` wrote."""
        return cls(Path(data["home"]), Target.from_json(data["target"]), data["provisional"])


def _title(directory: Path) -> str:
    """The name of a release; one of a version lies in a directory `release` of its bundle, or below that."""
    parts = directory.parts
    return parts[parts.index("release") - 1] if "release" in parts[1:] else directory.name


@dataclass(frozen=True)
class Deployed:
    """What serves, or served last, and what served before that."""

    now: Target
    before: Target | None = None

    def then(self, target: Target) -> Deployed:
        """What is deployed once `target` is; another variant or other settings of a release are no other release."""
        return Deployed(target, self.before if target.release == self.now.release else self.now)


def read(home: Path) -> Deployed | None:
    """What is deployed; None: nothing has been, or the record cannot be read."""
    try:
        data = json.loads((home / DEPLOYED_FILE).read_text(encoding="utf-8"))
        before = data["before"]
        return Deployed(Target.from_json(data["now"]), Target.from_json(before) if before else None)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def record(home: Path, target: Target) -> None:
    """`target` is deployed from now on; on disk when this returns."""
    known = read(home)
    deployed = known.then(target) if known is not None else Deployed(target)
    if deployed != known:
        durable.write(home / DEPLOYED_FILE, json.dumps(asdict(deployed), indent=2))
