"""The part of the lock that a container needs: without what only tests and checks the toolkit."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.utils import canonicalize_name

from toolkit import lockfile
from toolkit.hardware import DEFAULT, HARDWARE, Hardware
from toolkit.lockfile import Locked

ROOT = Path(__file__).resolve().parents[2]
LOCK, SETUP = ROOT / "requirements.lock", ROOT / "setup.cfg"
# What other hardware has in the place of packages of the lock.
DEVICE_LOCK = ROOT / "requirements-device.lock"

# What installs and builds the rest.
INSTALLER = ("pip", "setuptools", "wheel")

_SERVE = "serve"
_NAME = re.compile(r"^[A-Za-z0-9][\w.-]*")


def requirements(
    pipeline: str, engines: Iterable[str] = (), hardware: Hardware = HARDWARE[DEFAULT]
) -> Mapping[str, str]:
    """Requirements files by their names: `installer.txt`, to be installed first, `service.txt`, and `device.txt`.

    The last is there where the hardware has packages of its own.

    Args:
        pipeline: what it needs is in the extra of its name in `setup.cfg`, if there is one.
        engines: that models run in; those beside Paddle have extras of their own.
    """
    locked = lockfile.read(LOCK)
    needed = _closure(locked, _roots(("install_requires", _SERVE, pipeline, *engines)))
    service = needed - set(INSTALLER) - set(hardware.packages)
    found = {
        "installer.txt": "".join(locked[name].text for name in INSTALLER),
        "service.txt": "".join(locked[name].text for name in sorted(service)),
    }
    own = sorted(name for name in hardware.packages.values() if name is not None)
    if own:
        devices = lockfile.read(DEVICE_LOCK)
        found["device.txt"] = "".join(devices[name].text for name in own)
    return found


def version(name: str) -> str:
    """The locked version of a package."""
    return lockfile.read(LOCK)[name].version


def _roots(sections: Iterable[str]) -> set[str]:
    config = configparser.ConfigParser()
    config.read(SETUP, encoding="utf-8")
    extras = dict(config["options.extras_require"])
    extras["install_requires"] = config["options"]["install_requires"]
    lines = (line.strip() for section in sections for line in extras.get(section, "").splitlines())
    return {canonicalize_name(found.group()) for line in lines if (found := _NAME.match(line))}


def _closure(locked: Mapping[str, Locked], roots: set[str]) -> set[str]:
    """The roots, and all that they need."""
    needed, before = set(roots), set[str]()
    while needed != before:
        before = set(needed)
        needed |= {name for name, entry in locked.items() if entry.wanted_by & needed}
    return needed
