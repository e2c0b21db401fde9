"""One change of the service at a time, and who is at it, since when and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from toolkit.errors import ServiceError
from toolkit.store import durable
from toolkit.supervisor import journal

LOCK_FILE = "service.lock"

# Beside the lock, since who waits for the lock empties its file.
HOLDER_FILE = "service.holder.json"

# Longer than a deployment starts and verifies a service.
_WAIT_SECONDS = 300.0


@dataclass(frozen=True)
class Holder:
    """Who changes the service.

    Attributes:
        since: ISO 8601, UTC.
        why: the command, and what it works on.
    """

    who: str
    since: str
    why: str

    def __str__(self) -> str:
        return f"{self.who}, since {self.since}: {self.why}"


@contextmanager
def exclusive(home: Path, why: str, wait: float = _WAIT_SECONDS) -> Iterator[None]:
    """Nobody else starts, replaces or stops the service meanwhile; waits for who is at it.

    A change whose process was killed is entered in the journal by the next one.

    Args:
        why: told to those who wait.
        wait: seconds.

    Raises:
        ServiceError: another command has been at it for so long.
    """
    home.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(str(home / LOCK_FILE), timeout=wait):
            _enter_the_killed(home)
            mine = Holder(journal.me(), journal.now(), why)
            durable.write(home / HOLDER_FILE, json.dumps(asdict(mine)))
            try:
                yield
            finally:
                (home / HOLDER_FILE).unlink(missing_ok=True)
    except Timeout as error:
        other = holder(home)
        raise ServiceError(
            f"another command has been changing the service for {wait:g} s{f' ({other})' if other else ''}",
            where=str(home / LOCK_FILE),
            remedy="wait for it, or end it",
        ) from error


def holder(home: Path) -> Holder | None:
    """Who is at it, or was when it was killed; None: nobody."""
    try:
        return Holder(**json.loads((home / HOLDER_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _enter_the_killed(home: Path) -> None:
    killed = holder(home)
    if killed is None:
        return
    what, _, rest = killed.why.partition(" ")
    reason = f"its process was killed; it began at {killed.since}"
    journal.append(
        home, journal.Entry(journal.now(), killed.who, what, "", rest, journal.INTERRUPTED, reason, 137)
    )
