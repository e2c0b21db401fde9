"""The front door as a whole: two ports, opened together and closed together."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Callable

import grpc.aio
import uvicorn

import toolkit
from toolkit.errors import ServiceError
from toolkit.gateway import connections, http, tls
from toolkit.gateway.exposition import Exposition
from toolkit.gateway.keys import Keys
from toolkit.gateway.lobby import Lobby
from toolkit.gateway.office import Office
from toolkit.gateway.options import GatewayOptions
from toolkit.gateway.rpc import Rpc
from toolkit.gateway.status import ReplicaStatus
from toolkit.gateway.tls import Tls


class Gateway:
    """Serve HTTP and gRPC within the caller's event loop.

        gateway = Gateway(options)
        office = gateway.enter("ocr", statuses)
        office.shift(office.open(options, catalog, pool, places, is_ready))
        await gateway.start()
        ...
        await gateway.stop(grace=10)

    Ports and connections are the gateway's; everything else that a request meets belongs to the office of the pipeline
    that it asks for.

    Attributes:
        http_port, grpc_port: the ports in use, from `start` on.
    """

    def __init__(self, options: GatewayOptions) -> None:
        self._options = options
        self._stopping = False
        self.http_port = options.http_port
        self.grpc_port = options.grpc_port
        self._keys = Keys.load(options.keys_file, os.environ)
        self._lobby = Lobby()
        self._exposition = Exposition(toolkit.__version__)

    def enter(self, pipeline: str, statuses: Callable[[], Sequence[ReplicaStatus]] = lambda: ()) -> Office:
        """An office for a pipeline that has none; requests to it are taken from its first `Office.shift` on.

        Args:
            statuses: of its replicas, for metrics.
        """
        office = Office(self._lobby.open(pipeline), statuses, lambda: self._stopping)
        self._exposition.add(pipeline, office.metrics)
        return office

    def leave(self, pipeline: str) -> None:
        """Take no more requests to a pipeline; those under way are finished by whoever has them, and counted as its."""
        self._lobby.close(pipeline)

    def forget(self, pipeline: str) -> None:
        """Tell of a pipeline no more that has left, and has no requests."""
        self._exposition.remove(pipeline)

    async def start(self) -> None:
        """Bind both ports, then serve.

        Raises:
            ServiceError: a port is taken, or cannot be bound, or a file of keys or certificates is wrong; then nothing
                is held.
        """
        options = self._options
        listener = _listen("HTTP", options.host, options.http_port)
        try:
            self._rpc = Rpc(self._lobby, self._exposition, self._keys, options)
            self.grpc_port = _add_port(self._rpc.server, options)
            await self._start_http(listener)
        except BaseException:
            listener.close()
            raise
        self.http_port = listener.getsockname()[1]
        await self._rpc.start()
        self._watching = [asyncio.create_task(item.watch()) for item in self._watched()]

    async def _start_http(self, listener: socket.socket) -> None:
        options = self._options
        config = uvicorn.Config(
            http.create_app(self._lobby, self._exposition, self._keys),
            http=connections.protocol(options.max_connections, options.header_seconds),
            ws="none",
            lifespan="off",
            # Longer than the 60 s of proxies and load balancers, so that it is they who close an idle connection.
            timeout_keep_alive=75,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
        )
        config.load()
        config.ssl = tls.ssl_context(options.tls) if options.tls is not None else None
        self._http = _HttpServer(config, options.max_connections, options.header_seconds)
        self._serving = asyncio.create_task(self._http.serve(sockets=[listener]))
        while not self._http.started and not self._serving.done():
            await asyncio.sleep(0.005)
        if self._serving.done():
            await self._serving

    def _watched(self) -> Iterator[tls.Watched]:
        """Files that are read again when they change."""
        options = self._options
        if self._keys is not None and options.keys_file is not None:
            yield tls.Watched([options.keys_file], self._keys.reload)
        if options.tls is not None:
            yield tls.Watched(options.tls.paths, partial(self._renew, options.tls))

    def _renew(self, files: Tls) -> None:
        """Encrypt new connections with what the files hold now."""
        config = self._http.config
        if config.ssl is not None:
            config.ssl = tls.reload(config.ssl, files)

    async def stop(self, grace: float) -> None:
        """Accept nothing more, finish what is under way, and close both ports.

        Args:
            grace: seconds after which what is still under way is dropped.
        """
        self._stopping = True
        for task in self._watching:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        # uvicorn says int, and hands it to asyncio.wait_for. At zero it would complain of idle connections.
        config: Any = self._http.config
        config.timeout_graceful_shutdown = max(grace, 0.1)
        self._http.should_exit = True
        await asyncio.gather(self._serving, self._rpc.stop(grace))


class _HttpServer(connections.Server):
    """A server that leaves the signals of the process to its caller."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(protocol: str, host: str, port: int) -> socket.socket:
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, number)
    except OSError as error:
        raise _cannot_bind(protocol, host, port, error) from error
    try:
        # For addresses that a server before us has just left; a listening one is still refused.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise _cannot_bind(protocol, host, port, error) from error
    return listener


def _add_port(server: grpc.aio.Server, options: GatewayOptions) -> int:
    host, port = options.host, options.grpc_port
    # gRPC says only that it could not bind. A socket of our own says why.
    _listen("gRPC", host, port).close()
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if options.tls is None:
            return int(server.add_insecure_port(address))
        return int(server.add_secure_port(address, tls.grpc_credentials(options.tls)))
    except RuntimeError as error:
        raise _cannot_bind("gRPC", host, port, OSError(errno.EADDRINUSE, str(error))) from error


def _cannot_bind(protocol: str, host: str, port: int, error: OSError) -> ServiceError:
    where = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return ServiceError(
            f"port {port}, for {protocol}, is taken by another process",
            where=where,
            remedy=f"stop it (`ss -ltnp 'sport = :{port}'` shows which it is), or choose another port",
        )
    return ServiceError(
        f"port {port}, for {protocol}, cannot be bound: {error.strerror or error}",
        where=where,
        remedy="choose an address of this machine, and a port above 1023",
    )
