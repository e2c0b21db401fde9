"""Requests that take replicas down, remembered by their digests so that they are not tried again."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict

_KEPT = 1000
_SECONDS = 600.0


class Poisons:
    """The last of them, for a while: what made a replica swell once need not do so for ever."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()
        self._suspects: OrderedDict[str, float] = OrderedDict()

    def suspected(self, request: bytes) -> bool:
        """Whether `request` was suspected before, not long ago; from now on it is."""
        digest, now = hashlib.sha256(request).hexdigest(), time.monotonic()
        until = self._suspects.pop(digest, 0.0)
        self._suspects[digest] = now + _SECONDS
        while len(self._suspects) > _KEPT:
            self._suspects.popitem(last=False)
        return now < until

    def add(self, request: bytes) -> str:
        """Remember `request`; its digest, SHA-256 in hex."""
        digest = hashlib.sha256(request).hexdigest()
        self._until[digest] = time.monotonic() + _SECONDS
        while len(self._until) > _KEPT:
            self._until.popitem(last=False)
        return digest

    def find(self, request: bytes) -> str | None:
        """The digest of `request` if it is one of them. While there is none, nothing is computed."""
        now = time.monotonic()
        while self._until and next(iter(self._until.values())) < now:
            self._until.popitem(last=False)
        if not self._until:
            return None
        digest = hashlib.sha256(request).hexdigest()
        return digest if digest in self._until else None
