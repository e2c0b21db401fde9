"""API keys: where they come from, how one is checked, and that none is ever shown.

A file has one key a line, `name:key` or the key alone; `#` begins a comment. The name is what the access log says.
Two keys may have one name, so that a client can change from the old to the new.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import ServiceError
from toolkit.gateway.faults import Unauthenticated

VARIABLE = "TOOLKIT_API_KEYS"

_SHORTEST = 16
_COMMENT = re.compile(r"(^|\s)#.*")
_ENTRY = re.compile(r"(?:(?P<name>[\w.-]+)\s*:\s*)?(?P<key>[^\s:,]+)", re.ASCII)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Known:
    """A key, of which only the digest is kept."""

    name: str
    digest: bytes


def first(path: Path | None, environ: Mapping[str, str]) -> str | None:
    """A key that a command on this machine can show, from where the service has its own; None where there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path is not None else None
    except OSError:
        return None
    entries = environ.get(VARIABLE, "").split(",") if lines is None else lines
    found = (_ENTRY.fullmatch(_COMMENT.sub("", entry).strip()) for entry in entries)
    return next((match["key"] for match in found if match), None)


class Keys:
    """The keys that are let in."""

    def __init__(self, known: tuple[_Known, ...], path: Path | None) -> None:
        self._known = known
        self._path = path

    @classmethod
    def load(cls, path: Path | None, environ: Mapping[str, str]) -> Keys | None:
        """The keys of the file, or, without one, those of TOOLKIT_API_KEYS, separated by commas.

        Returns:
            None if there is neither: then no key is asked for.

        Raises:
            ServiceError: the file cannot be read, there is no key in it, or one is not fit to be a key.
        """
        if path is not None:
            if VARIABLE in environ:
                logger.warning("%s is ignored, since there is a file of keys: %s", VARIABLE, path)
            return cls(_read(path), path)
        if VARIABLE not in environ:
            return None
        # Set and empty is an accident, most likely; to ask for no key then would open the service.
        entries = ((f"{VARIABLE}, key {n}", text) for n, text in enumerate(environ[VARIABLE].split(","), 1))
        return cls(_parse(entries, VARIABLE), None)

    def check(self, authorization: str | None, x_api_key: str | None) -> str:
        """The name of the key that a request came with.

        Args:
            authorization, x_api_key: the headers `Authorization: Bearer <key>` and `X-API-Key: <key>`; one is enough.

        Raises:
            Unauthenticated: there is no key, or it is not known.
        """
        offered = [text for text in (_bearer(authorization), x_api_key) if text]
        if not offered:
            raise Unauthenticated(
                "an API key is needed", "send `Authorization: Bearer <key>`, or `X-API-Key: <key>`"
            )
        found = [name for name in map(self._find, offered) if name is not None]
        if not found:
            raise Unauthenticated("the API key is not known here", "ask who runs the service for one")
        return found[0]

    def _find(self, key: str) -> str | None:
        # Digests are of one length, and all are compared, so that the time taken tells nothing of any key.
        digest = _digest(key)
        name = None
        for known in self._known:
            if hmac.compare_digest(known.digest, digest):
                name = known.name
        return name

    def reload(self) -> None:
        """Read the file again. One that is wrong changes nothing, and is told in the log."""
        if self._path is None:
            return
        try:
            self._known = _read(self._path)
        except ServiceError as error:
            logger.error("the API keys stay as they were: %s", error)
        else:
            logger.info("%d API keys read from %s", len(self._known), self._path)

    def __repr__(self) -> str:
        return f"Keys({len(self._known)} from {self._path or VARIABLE})"


def _bearer(authorization: str | None) -> str | None:
    scheme, _, key = (authorization or "").strip().partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", errors="surrogatepass")).digest()


def _read(path: Path) -> tuple[_Known, ...]:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise ServiceError(
            f"the file of API keys cannot be read: {error.strerror or error}",
            where=str(path),
            remedy="name a file that the service may read, one key a line",
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        logger.warning("others than its owner may read the API keys: `chmod 600 %s`", path)
    lines = ((f"{path}, line {number}", line) for number, line in enumerate(text.split("\n"), 1))
    return _parse(((where, _COMMENT.sub("", line)) for where, line in lines), str(path))


def _parse(entries: Iterable[tuple[str, str]], source: str) -> tuple[_Known, ...]:
    known = tuple(_checked(entries))
    if not known:
        raise ServiceError(
            "there is no API key",
            where=source,
            remedy="write one key a line, or ask for none by naming no keys",
        )
    return known


def _checked(entries: Iterable[tuple[str, str]]) -> Iterator[_Known]:
    seen: dict[bytes, str] = {}
    for where, text in entries:
        if not text.strip():
            continue
        match = _ENTRY.fullmatch(text.strip())
        if not (match and text.isascii() and text.strip().isprintable()):
            raise _unfit(where, "is not a key, or a name, a colon and a key, of ASCII without spaces")
        key = match["key"]
        if len(key) < _SHORTEST:
            raise _unfit(where, f"has fewer than {_SHORTEST} characters")
        digest = _digest(key)
        if digest in seen:
            raise _unfit(where, f"is the same as that of {seen[digest]}")
        seen[digest] = where
        yield _Known(match["name"] or f"key{len(seen)}", digest)


def _unfit(where: str, what: str) -> ServiceError:
    """Says what is wrong with a key without saying the key."""
    return ServiceError(
        f"an API key {what}",
        where=where,
        remedy="make one with `openssl rand -hex 32`; a comma or colon is no part",
    )
