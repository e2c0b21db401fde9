"""The part of the lock that a container needs: without what only tests and checks the toolkit."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK, SETUP = ROOT / "requirements.lock", ROOT / "setup.cfg"

# What installs and builds the rest.
INSTALLER = ("pip", "setuptools", "wheel")

_SERVE = "serve"
_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==(\S+)", re.MULTILINE)
_NAME = re.compile(r"^[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Locked:
    """
    Attributes:
        text: its lines of the lock, with hashes.
        wanted_by: names of the packages that need it, as the lock notes them.
    """

    version: str
    text: str
    wanted_by: frozenset[str]


def requirements(pipeline: str) -> Mapping[str, str]:
    """Requirements files by their names: `installer.txt`, to be installed first, and `service.txt`.

    Args:
        pipeline: what it needs is in the extra of its name in `setup.cfg`, if there is one.
    """
    locked = _locked()
    needed = _closure(locked, _roots(("install_requires", _SERVE, pipeline)))
    return {
        "installer.txt": "".join(locked[name].text for name in INSTALLER),
        "service.txt": "".join(locked[name].text for name in sorted(needed - set(INSTALLER))),
    }


def version(name: str) -> str:
    """The locked version of a package."""
    return _locked()[name].version


def _locked() -> Mapping[str, Locked]:
    text = LOCK.read_text(encoding="utf-8")
    pins = list(_PIN.finditer(text))
    ends = [pin.start() for pin in pins[1:]] + [len(text)]
    return {
        _normal(pin.group(1)): _entry(pin.group(2), text[pin.start() : end]) for pin, end in zip(pins, ends)
    }


def _entry(version: str, block: str) -> Locked:
    lines = block.splitlines()
    comments = (line.strip("# ").removeprefix("via").strip() for line in lines if line.startswith("    #"))
    return Locked(
        version,
        "\n".join(line for line in lines if not line.startswith("    #")) + "\n",
        frozenset(_normal(comment.split(" ")[0]) for comment in comments if comment),
    )


def _roots(sections: Iterable[str]) -> set[str]:
    config = configparser.ConfigParser()
    config.read(SETUP, encoding="utf-8")
    extras = dict(config["options.extras_require"])
    extras["install_requires"] = config["options"]["install_requires"]
    lines = (line.strip() for section in sections for line in extras.get(section, "").splitlines())
    return {_normal(found.group()) for line in lines if (found := _NAME.match(line))}


def _closure(locked: Mapping[str, Locked], roots: set[str]) -> set[str]:
    """The roots, and all that they need."""
    needed, before = set(roots), set[str]()
    while needed != before:
        before = set(needed)
        needed |= {name for name, entry in locked.items() if entry.wanted_by & needed}
    return needed


def _normal(name: str) -> str:
    """As package indexes compare names (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
