"""Whether a TCP port can be listened on."""

from __future__ import annotations

import socket
from typing import Optional


def try_bind(host: str, port: int) -> Optional[OSError]:
    """None if a server could listen on `port` of `host` now, else why not.

    Raises:
        socket.gaierror: there is no such host.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        # As servers do: a port whose last connections are just being closed is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen()  # Linux lets two sockets bind with the option above, not listen
        except OSError as error:
            return error
    return None
