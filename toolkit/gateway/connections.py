"""HTTP connections: how many there may be, and how long a client may take over what it sends and reads.

uvicorn watches a connection between requests only. Here one that opens and says nothing, sends its headers byte by
byte, never ends a body that nobody wants any more, or does not read its answer is cut; and what is not HTTP is told
so as our errors are. The body of a request that is being answered has the request's deadline (`body.py`).
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import socket
import sys
import termios
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, ClassVar, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

# Seconds that a connection gets to take its last answer, and to say goodbye in TLS.
_LINGER = 2.0

# Bytes a second that a client has to take of its answer, as over a bad mobile line; for slower ones none is kept.
_SLOWEST = 20_000

# Connections that may linger so beyond the limit; more of them are cut without an answer.
_SPARE = 100

# Seconds without accepting after the system had no file left, and between two lines of the log about limits.
_PAUSE, _SILENCE = 0.5, 10.0

logger = logging.getLogger(__name__)


@dataclass
class _House:
    """What all connections share.

    Attributes:
        size: connections that are open at once.
        patience: seconds that a client may keep us waiting.
        header_bytes: largest request line and headers.
        leaving: those that have had their last answer.
    """

    size: int
    patience: float
    header_bytes: int
    leaving: set[Connection] = field(default_factory=set)
    complained: float = float("-inf")

    def complain(self) -> None:
        """Say in the log that there are too many, now and then."""
        if time.monotonic() - self.complained > _SILENCE:
            self.complained = time.monotonic()
            logger.warning("all %d HTTP connections are taken; more are turned down", self.size)


def protocol(max_connections: int, header_seconds: float, header_bytes: int = 16 * 1024) -> type[Connection]:
    """The class that `uvicorn.Config(http=...)` takes.

    Args:
        max_connections: that are open at once; one more is told 503, and closed.
        header_seconds: until when the headers of a request must be there, from the moment that the connection is, or
            from their first byte; and for how long a client may read next to nothing of what it asked for.
        header_bytes: of request line and headers; with more it is 431.
    """

    class Bounded(Connection):
        house = _House(max_connections, header_seconds, header_bytes)

    return Bounded


class _Parser(h11.Connection):
    """h11's parser, which says why it gave up; alone it takes large headers that come in one piece, and any version."""

    failure: h11.RemoteProtocolError | None = None

    def __init__(self, header_bytes: int) -> None:
        super().__init__(h11.SERVER, header_bytes)
        self._header_bytes = header_bytes

    def next_event(self) -> Any:
        """As h11's."""
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                self._check(event)
        except h11.RemoteProtocolError as error:
            self.failure = error
            raise
        return event

    def _check(self, request: h11.Request) -> None:
        if _size(request) > self._header_bytes:
            raise h11.RemoteProtocolError("headers too large", error_status_hint=431)
        if request.http_version not in (b"1.0", b"1.1"):
            raise h11.RemoteProtocolError("not HTTP/1", error_status_hint=505)


def _size(request: h11.Request) -> int:
    # With the colon, the space and the end of each line.
    return len(request.target) + sum(len(name) + len(value) + 4 for name, value in request.headers)


class Connection(H11Protocol):
    """uvicorn's connection within limits. For uvicorn 0.39, whose methods it overrides."""

    house: ClassVar[_House]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._parser = _Parser(self.house.header_bytes)
        self.conn = self._parser
        self._dismissed = False
        self._waiting: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._ending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """Let it in, or turn it down."""
        super().connection_made(transport)
        if len(self.connections) - len(self.house.leaving) <= self.house.size:
            self._wait()
            return
        self.house.complain()
        message = "as many connections as allowed are open"
        self._dismiss(
            503, message, "try again later, and use connections for more than one request", retry=True
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.house.leaving.discard(self)
        for timer in (self._waiting, self._stalled, self._ending):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
        # After a reset, uvicorn leaves the transport of TLS as it is, and Python 3.9 then warns of an unclosed one.
        if not self.transport.is_closing():
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse `data`; what comes after the last answer is dropped."""
        if self._dismissed or self.transport.is_closing():
            return
        super().data_received(data)
        self._wait()

    def _wait(self) -> None:
        """Set a time for what the client owes: a request, or the rest of one that has been answered."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        elif not answering and self._waiting is None and not self._dismissed:
            self._waiting = self.loop.call_later(self.house.patience, self._give_up)

    def _give_up(self) -> None:
        if self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            message = f"the headers did not arrive within {self.house.patience:g} seconds"
            self._dismiss(408, message, "send them in one piece")
        else:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Turn down what is not HTTP."""
        failure = self._parser.failure
        status = failure.error_status_hint if failure is not None else 400
        remedy = "send HTTP/1.1, with fewer headers" if status == 431 else "send HTTP/1.1"
        self._dismiss(status, f"this is not a valid HTTP request: {str(failure or msg)[:200]}", remedy)

    def _dismiss(self, status: int, message: str, remedy: str, retry: bool = False) -> None:
        """Give a last answer, if none has begun, and close.

        To close at once would take the answer back: the kernel resets a connection that has unread data.
        """
        self._dismissed = True
        self._unset_keepalive_if_required()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected, self.cycle.waiting_for_100_continue = True, False
            self.cycle.message_event.set()
        if len(self.house.leaving) >= _SPARE or self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        self.house.leaving.add(self)
        self.transport.write(_answer(status, message, remedy, retry))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._abort_later(_LINGER)

    def _abort_later(self, seconds: float) -> None:
        # A closed transport waits for ever to get rid of what it has to send, and in TLS for the client's goodbye.
        if self._ending is None and self in self.connections:
            self._ending = self.loop.call_later(seconds, self.transport.abort)

    def on_response_complete(self) -> None:
        """See to it that a connection which closes now does so."""
        super().on_response_complete()
        if self.transport.is_closing() and self._stalled is None:
            self._expect_reading()

    def timeout_keep_alive_handler(self) -> None:
        """Close, after a time without a request."""
        super().timeout_keep_alive_handler()
        # What is still being read goes on.
        if self._stalled is None:
            self._abort_later(_LINGER)

    def shutdown(self) -> None:
        """Close, or when the request under way has been answered."""
        if self._dismissed:
            self.transport.close()
            return
        if not self.transport.is_closing():
            super().shutdown()
        if self.transport.is_closing():
            self._abort_later(_LINGER)

    def pause_writing(self) -> None:
        """The client does not read as fast as we write. It has to go on some time."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """It went on."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        if self.transport.is_closing():
            self._expect_reading()

    def _expect_reading(self) -> None:
        if self in self.connections:
            self._stalled = self.loop.call_later(self.house.patience, self._cut_unless_read, self._unread())

    def _cut_unless_read(self, before: int) -> None:
        if before - self._unread() < self.house.patience * _SLOWEST:
            self.transport.abort()
        else:
            self._expect_reading()

    def _unread(self) -> int:
        """Bytes of answers that the client's system has not taken yet: the transport's, and the kernel's."""
        queued = fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        return self.transport.get_write_buffer_size() + int.from_bytes(queued, sys.byteorder)


def _answer(status: int, message: str, remedy: str, retry: bool) -> bytes:
    body = json.dumps({"error": {"code": status, "message": message, "remedy": remedy}}).encode()
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(["Retry-After: 1"] if retry else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


class Server(uvicorn.Server):
    """uvicorn's server, which accepts connections itself.

    asyncio gives any number of TLS handshakes a minute each, and uvicorn does not pass another limit on. And since
    `config.ssl` is looked at for each connection, it can be replaced while the server runs.

    Args:
        max_connections, header_seconds: as `protocol` takes them; handshakes count, and have that time too.
    """

    def __init__(self, config: uvicorn.Config, max_connections: int, header_seconds: float) -> None:
        super().__init__(config)
        self._most = max_connections + _SPARE
        self._handshake_seconds = header_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on `sockets`."""
        await self.lifespan.startup()
        self.servers = cast(Any, [_Listener(self, listener) for listener in sockets or ()])
        self.started = True

    async def greet(self, connection: socket.socket) -> None:
        """Make of an accepted socket a connection, in TLS or not."""
        encryption = self.config.ssl
        # typeshed does not know `connect_accepted_socket` of the loop itself.
        loop: Any = asyncio.get_running_loop()
        limit = self._handshake_seconds if encryption is not None else None
        try:
            await loop.connect_accepted_socket(
                self._connection, connection, ssl=encryption, ssl_handshake_timeout=limit
            )
        except OSError as error:
            logger.debug("no connection: %s", error)

    def _connection(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        connection: asyncio.Protocol = kind(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return connection

    def is_full(self, greeted: int) -> bool:
        """Whether so many handshakes are too many beside the connections that there are."""
        return len(self.server_state.connections) + greeted >= self._most


class _Listener:
    """Stands in for asyncio's server in uvicorn's list of them."""

    def __init__(self, server: Server, listener: socket.socket) -> None:
        self._server = server
        self._socket = listener
        self._loop = asyncio.get_running_loop()
        self._greeted: set[asyncio.Task[None]] = set()
        self._resuming: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        listener.listen(server.config.backlog)
        self._listen()

    def _listen(self) -> None:
        self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return
        except OSError as error:
            logger.error("no connection can be accepted: %s", error)
            self._loop.remove_reader(self._socket)
            self._resuming = self._loop.call_later(_PAUSE, self._listen)
            return
        if self._server.is_full(len(self._greeted)):
            connection.close()
            return
        task = self._loop.create_task(self._server.greet(connection))
        self._greeted.add(task)
        task.add_done_callback(self._greeted.discard)

    def close(self) -> None:
        """Accept nothing more, and drop handshakes that are under way."""
        if self._resuming is not None:
            self._resuming.cancel()
        self._loop.remove_reader(self._socket)
        for task in self._greeted:
            task.cancel()

    async def wait_closed(self) -> None:
        """Until the last handshake is dropped."""
        for task in list(self._greeted):
            with suppress(asyncio.CancelledError):
                await task
