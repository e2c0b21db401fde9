"""Memory that the front door shares with one replica: a photograph is a copy there, and many messages in a socket.

The file has no name, so it is gone with the last of the two processes, however they end. What is small, or finds no
slot free, goes through the socket as ever.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

# The metadata key of a request whose body lies in the mailbox.
KEY = "toolkit-mailbox"

# Smaller bodies are as fast through the socket.
_SMALL = 32 * 1024

# The system gets the memory of larger ones back after each.
_KEPT = 1024 * 1024


class Mailbox:
    """The front door's side; for one event loop.

    Args:
        slots: messages that lie in it at once.
        size: bytes of the largest message.

    Attributes:
        fileno: of the memory; for `Delivery` in the process that inherits it.
    """

    def __init__(self, slots: int, size: int) -> None:
        # Slots begin on pages, since only whole ones can be given back.
        self._size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        self.fileno = os.memfd_create("mailbox")
        os.truncate(self.fileno, slots * self._size)
        self._memory = mmap.mmap(self.fileno, slots * self._size)
        self._free = list(range(slots))

    @contextmanager
    def holding(self, message: bytes) -> Iterator[str | None]:
        """Where `message` lies within the block, in the words of `Delivery.take`; None: in no place.

        A block may be left before the message was taken, if nobody waits for the answer any more.
        """
        if self._memory.closed or not (self._free and _SMALL <= len(message) <= self._size):
            yield None
            return
        slot = self._free.pop()
        begin = slot * self._size
        try:
            self._memory[begin : begin + len(message)] = message
            yield f"{begin}:{begin + len(message)}"
        finally:
            if len(message) > _KEPT and not self._memory.closed:
                self._memory.madvise(mmap.MADV_REMOVE, begin, self._size)
            self._free.append(slot)

    def close(self) -> None:
        """Give the memory back; messages in it may still be awaited."""
        self._memory.close()
        os.close(self.fileno)


class Delivery:
    """The replica's side.

    Args:
        fileno: of the front door's `Mailbox`, inherited.
    """

    def __init__(self, fileno: int) -> None:
        self._memory = mmap.mmap(fileno, 0, prot=mmap.PROT_READ)
        os.close(fileno)

    def take(self, place: str) -> bytes:
        """The message at `place`, which `Mailbox.holding` gave."""
        begin, _, end = place.partition(":")
        return self._memory[int(begin) : int(end)]
