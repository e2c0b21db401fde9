"""What systemd is told of the service: ready, alive, stopping (sd_notify(3)); nothing where nobody listens."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

logger = logging.getLogger(__name__)


class Notifier:
    """Speaks to the socket that `NOTIFY_SOCKET` names.

    Attributes:
        watchdog_seconds: how often `alive` has to be said, with half of the time to spare; None: never.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # A name in the abstract namespace is written with @.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        microseconds = environ.get("WATCHDOG_USEC", "")
        mine = environ.get("WATCHDOG_PID") in (None, str(os.getpid()))
        wanted = mine and microseconds.isascii() and microseconds.isdigit() and int(microseconds) > 0
        self.watchdog_seconds = int(microseconds) / 2e6 if wanted else None

    def ready(self, status: str) -> None:
        """The service answers."""
        self._send("READY=1", f"STATUS={status}")

    def alive(self, status: str) -> None:
        """It still does what it should."""
        self._send("WATCHDOG=1", f"STATUS={status}")

    def stopping(self) -> None:
        """It ends."""
        self._send("STOPPING=1", "STATUS=finishing requests")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.connect(self._address)
                channel.sendall("\n".join(lines).encode())
        except OSError as error:
            logger.warning("systemd cannot be told %s: %s", lines[0], error)
