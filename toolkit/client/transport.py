"""HTTP connections that stay open between requests."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from toolkit.client.errors import DeadlineExceeded, Unavailable
from toolkit.client.security import Access

# How a connection looks that the other side closed while idle; http.client's RemoteDisconnected is a reset.
_STALE = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


@dataclass(frozen=True)
class HttpAnswer:
    """Status, headers (names in lower case) and body of a response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpTransport:
    """Requests to one HTTP server; safe to share between threads, each takes a connection of its own.

    Proxy settings of the environment are not heeded.
    """

    def __init__(self, url: str, access: Access = Access()) -> None:  # noqa: B008 # it is frozen
        """`url` is `http[s]://host[:port][/prefix]`; ValueError if it is not."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not an http:// or https:// URL: {url!r}")
        if parts.scheme == "http" and access.encrypted:
            raise ValueError(f"certificates are for https:// only: {url!r}")
        self.url = url
        self.access = access
        self._context = access.ssl_context() if parts.scheme == "https" else None
        self._host = parts.hostname
        self._port = parts.port or (80 if self._context is None else 443)
        self._prefix = parts.path.rstrip("/")
        self._idle: deque[http.client.HTTPConnection] = deque()

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float,
    ) -> HttpAnswer:
        """Send one request and read the whole answer, whatever its status.

        A request that finds its kept connection closed is sent once more on a new one.

        Args:
            timeout: seconds for connecting, and for each wait for the other side.

        Raises:
            Unavailable: no connection, or it broke.
            DeadlineExceeded: the other side let `timeout` pass in silence.
        """
        while True:
            connection, reused = self._take(timeout)
            try:
                answer = self._exchange(connection, method, path, body, headers or {})
            except BaseException as error:
                connection.close()
                if reused and isinstance(error, _STALE):
                    continue
                if isinstance(error, socket.timeout):
                    message = f"no answer from {self.url} within {timeout:g} s"
                    raise DeadlineExceeded(message) from error
                if isinstance(error, (OSError, http.client.HTTPException)):
                    raise Unavailable(f"cannot reach {self.url}: {error or type(error).__name__}") from error
                raise
            self._idle.append(connection)
            return answer

    def close(self) -> None:
        """Close the connections that are kept open."""
        while self._idle:
            self._idle.pop().close()

    def _take(self, timeout: float) -> tuple[http.client.HTTPConnection, bool]:
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._connection(timeout), False
        # After an answer with `Connection: close` there is no socket; http.client opens a new one by itself.
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        return connection, connection.sock is not None

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        return _Encrypted(self._host, self._port, timeout, self._context, self.access.server_name)

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
    ) -> HttpAnswer:
        connection.request(
            method, self._prefix + path, body=body or None, headers={**self.access.headers, **headers}
        )
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return HttpAnswer(response.status, names, response.read())


class _Encrypted(http.client.HTTPSConnection):
    """A connection that may expect the certificate of another name than the host's."""

    def __init__(
        self, host: str, port: int, timeout: float, context: ssl.SSLContext, name: str | None
    ) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._tls = context
        self._name = name or host

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)
