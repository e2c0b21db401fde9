"""The packages that a lock file pins."""

from __future__ import annotations

import re
from pathlib import Path

from toolkit.errors import ReleaseError

_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


def pinned(lock: Path) -> dict[str, str]:
    """Versions by name, as `requirements.lock` has them.

    Raises:
        ReleaseError: it cannot be read, or pins nothing.
    """
    try:
        found = dict(_PIN.findall(lock.read_text(encoding="utf-8")))
    except OSError as error:
        raise ReleaseError(f"the lock file cannot be read: {error.strerror}", where=str(lock)) from error
    if not found:
        raise ReleaseError("the lock file pins no package", where=str(lock), remedy="`make lock` writes it")
    return found
