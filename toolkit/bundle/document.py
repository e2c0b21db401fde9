"""JSON that carries its own digest, in one spelling only, so that any changed byte of it is found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit.errors import ReleaseError
from toolkit.store import digest, durable

DIGEST = "digest"

_MODE = 0o644


def spelt(content: Any) -> str:
    """JSON in the spelling of all documents of a bundle: sorted keys, one line each."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def sealed(content: Mapping[str, Any]) -> str:
    """The text of a document: `content` with the digest of itself."""
    return spelt({**content, DIGEST: digest.of_value(content)})


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Put the document in the place of what is there, whole."""
    replace(path, sealed(content).encode())


def read(path: Path) -> dict[str, Any]:
    """The content of the document in `path`, with its digest.

    Raises:
        ReleaseError: it cannot be read, or any byte of it is not as it was written.
    """
    try:
        raw = path.read_bytes()
        found = json.loads(raw)
        content = {key: value for key, value in found.items() if key != DIGEST}
        same = sealed(content).encode() == raw
    except OSError as error:
        raise ReleaseError(f"{path.name} cannot be read: {error.strerror}", where=str(path)) from error
    except (ValueError, AttributeError, TypeError) as error:
        raise ReleaseError(f"{path.name} has been changed: it is no JSON of ours", where=str(path)) from error
    if not same:
        raise ReleaseError(f"{path.name} has been changed since it was written", where=str(path))
    return dict(found)


def replace(path: Path, data: bytes) -> None:
    """Put `data` in the place of the file, whole, and on disk; all may read it."""
    with durable.replacing(path, _MODE) as file:
        file.write(data)
