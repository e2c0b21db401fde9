"""The front door as a whole: two ports, opened together and closed together."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Callable

import grpc.aio
import uvicorn
from fastapi import FastAPI

from toolkit.errors import ServiceError
from toolkit.gateway import http, rpc
from toolkit.gateway.admission import Admission
from toolkit.gateway.options import GatewayOptions
from toolkit.gateway.replica import Replica


class Gateway:
    """Serve HTTP and gRPC within the caller's event loop.

        gateway = Gateway(options, is_ready=supervisor.is_ready)
        await gateway.start()
        ...
        await gateway.stop(grace=10)

    Args:
        is_ready: asked for every request; must not block.

    Attributes:
        http_port, grpc_port: the ports in use, from `start` on.
    """

    def __init__(self, options: GatewayOptions, is_ready: Callable[[], bool]) -> None:
        self._options = options
        self._is_ready = is_ready
        self.http_port = options.http_port
        self.grpc_port = options.grpc_port

    async def start(self) -> None:
        """Bind both ports, then serve.

        Raises:
            ServiceError: a port is taken, or cannot be bound; then none is held.
        """
        options = self._options
        listener = _listen("HTTP", options.host, options.http_port)
        self._replica = Replica(options.replica)
        admission = Admission(options.max_in_flight, self._is_ready)
        self._rpc = rpc.create_server(options, admission, self._replica)
        try:
            self.grpc_port = _add_port(self._rpc, options.host, options.grpc_port)
        except BaseException:
            listener.close()
            await self._replica.close()
            raise
        self.http_port = listener.getsockname()[1]
        await self._rpc.start()
        await self._start_http(http.create_app(options, admission, self._replica), listener)

    async def _start_http(self, app: FastAPI, listener: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
        )
        self._http = _HttpServer(config)
        self._serving = asyncio.create_task(self._http.serve(sockets=[listener]))
        while not self._http.started and not self._serving.done():
            await asyncio.sleep(0.005)
        if self._serving.done():
            await self._serving

    async def stop(self, grace: float) -> None:
        """Accept nothing more, finish what is under way, and close both ports.

        Args:
            grace: seconds after which what is still under way is dropped.
        """
        # uvicorn says int, and hands it to asyncio.wait_for. At zero it would complain of idle connections.
        config: Any = self._http.config
        config.timeout_graceful_shutdown = max(grace, 0.1)
        self._http.should_exit = True
        await asyncio.gather(self._serving, self._rpc.stop(grace))
        await self._replica.close()


class _HttpServer(uvicorn.Server):
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


def _add_port(server: grpc.aio.Server, host: str, port: int) -> int:
    # gRPC says only that it could not bind. A socket of our own says why.
    _listen("gRPC", host, port).close()
    address = f"[{host}]" if ":" in host else host
    try:
        return int(server.add_insecure_port(f"{address}:{port}"))
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
