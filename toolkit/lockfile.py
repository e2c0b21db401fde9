"""requirements.lock: which packages it pins, and which of them need which."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from toolkit.errors import ReleaseError

_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


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


def read(path: Path) -> dict[str, Locked]:
    """The packages that are pinned, by their canonical names (PEP 503).

    Raises:
        ReleaseError: the file cannot be read, or pins nothing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ReleaseError(f"the lock file cannot be read: {error.strerror}", where=str(path)) from error
    pins = list(_PIN.finditer(text))
    if not pins:
        raise ReleaseError("the lock file pins no package", where=str(path), remedy="`make lock` writes it")
    ends = [pin.start() for pin in pins[1:]] + [len(text)]
    return {
        canonicalize_name(pin.group(1)): _entry(pin.group(2), text[pin.start() : end])
        for pin, end in zip(pins, ends)
    }


def _entry(version: str, block: str) -> Locked:
    lines = block.splitlines()
    comments = (line.strip("# ").removeprefix("via").strip() for line in lines if line.startswith("    #"))
    return Locked(
        version,
        "\n".join(line for line in lines if not line.startswith("    #")) + "\n",
        frozenset(canonicalize_name(comment.split(" ")[0]) for comment in comments if comment),
    )
