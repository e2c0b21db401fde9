"""The history of what was deployed: a line for each change, only ever added to; `build/<model>/journal.jsonl`."""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from toolkit.errors import ToolkitError
from toolkit.store import durable

JOURNAL_FILE = "journal.jsonl"

_JSON_NAMES = {"before": "from", "after": "to"}

SUCCESS, FAILED, INTERRUPTED = "success", "failed", "interrupted"


@dataclass(frozen=True)
class Entry:
    """A change of what serves, or an attempt at one.

    Attributes:
        time: when it ended; ISO 8601, UTC.
        who: user and machine.
        what: the command: `deploy`, `rollback`, `launch`, `stop`; `watch`: the service by itself.
        before, after: the release that served, and the one that was to, as `Target.label` has them; empty: none.
        result: `success`, `failed` (what served before serves on, unless the reason says otherwise), or `interrupted`
            (it was killed; found out by the next change).
        reason: why it failed.
        exit_code: of the command.
    """

    time: str
    who: str
    what: str
    before: str = ""
    after: str = ""
    result: str = SUCCESS
    reason: str = ""
    exit_code: int = 0

    def to_json(self) -> dict[str, Any]:
        """The entry as a JSON object; what serves is `from` and `to` there, which are no names in Python."""
        return {_JSON_NAMES.get(name, name): value for name, value in asdict(self).items()}


def now() -> str:
    """The time as entries have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def me() -> str:
    """Who runs this process."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def append(home: Path, entry: Entry) -> None:
    """Add an entry; it is on disk when this returns."""
    durable.append(home / JOURNAL_FILE, json.dumps(entry.to_json(), ensure_ascii=False))


def read(home: Path) -> list[Entry]:
    """All entries, oldest first; lines that were torn are left out."""
    try:
        lines = (home / JOURNAL_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [entry for entry in map(_parse, lines) if entry is not None]


def _parse(line: str) -> Entry | None:
    try:
        told = json.loads(line)
        names = {item.name: _JSON_NAMES.get(item.name, item.name) for item in fields(Entry)}
        return Entry(**{name: told[key] for name, key in names.items() if key in told})
    except (ValueError, TypeError, AttributeError):
        return None


@contextmanager
def noted(home: Path, what: str, before: str, after: str) -> Iterator[None]:
    """Around a change: it is entered when it has ended, with the reason if it failed."""
    entry = Entry(now(), me(), what, before, after)
    try:
        yield
    except ToolkitError as error:
        append(
            home, replace(entry, time=now(), result=FAILED, reason=error.message, exit_code=error.exit_code)
        )
        raise
    except KeyboardInterrupt:
        reason = "Ctrl-C, or a signal to end"
        append(home, replace(entry, time=now(), result=INTERRUPTED, reason=reason, exit_code=130))
        raise
    except BaseException as error:
        reason = type(error).__name__ + (f": {error}" if str(error) else "")
        append(home, replace(entry, time=now(), result=INTERRUPTED, reason=reason, exit_code=70))
        raise
    append(home, replace(entry, time=now()))
