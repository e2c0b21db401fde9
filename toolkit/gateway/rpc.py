"""The gRPC side of the front door: Paddle Serving's service, the Open Inference Protocol, health and reflection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from toolkit import oip
from toolkit.client import protocol
from toolkit.gateway import access, legacy, oip_rpc, reflection
from toolkit.gateway.access import Record
from toolkit.gateway.exposition import Exposition
from toolkit.gateway.faults import Fault, UnknownModel
from toolkit.gateway.keys import Keys
from toolkit.gateway.lobby import Lobby
from toolkit.gateway.options import GatewayOptions
from toolkit.gateway.request_metrics import RequestMetrics
from toolkit.gateway.trace import continued, request_id
from toolkit.oip import wire

_PADDLE, _OIP = "paddle_grpc", "oip_grpc"

# The calls that are counted as requests, with the protocol that they are of.
_PREDICTING = {protocol.PATH: _PADDLE, oip.INFER_PATH: _OIP}

# How often clients that watch the health learn of a change.
_HEALTH_SECONDS = 0.25

Unary = Callable[[bytes, Any], Awaitable[bytes]]

# The name of the key that the call at hand came with.
_key_name: ContextVar[str] = ContextVar("key_name", default="")


class Rpc:
    """The server, with no port yet.

    Attributes:
        server: to add ports to.
    """

    def __init__(
        self, lobby: Lobby, exposition: Exposition, keys: Keys | None, options: GatewayOptions
    ) -> None:
        self._lobby = lobby
        self.server = grpc.aio.server(
            interceptors=[_Doorkeeper(keys, exposition)] if keys is not None else [],
            options=(
                # With gRPC's default, a second server would share the port without a word.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", options.max_body_bytes),
                ("grpc.max_send_message_length", -1),
                # A connection that never says what it wants, or says it never again, goes.
                ("grpc.server_handshake_timeout_ms", int(options.header_seconds * 1000)),
                ("grpc.max_connection_idle_ms", 300_000),
            ),
        )
        guard = _Guard(exposition)
        self._add(protocol.SERVICE, {protocol.METHOD: guard(_PADDLE, protocol.PATH, _paddle(lobby))})
        self._add(
            oip.SERVICE,
            {
                name: guard(_OIP if name == oip.INFER else "", f"/{oip.SERVICE}/{name}", function)
                for name, function in oip_rpc.functions(lobby).items()
            },
        )
        self._told_of: set[str] = set()
        servicer: Any = health
        self._health = servicer.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)
        reflection.add(self.server)

    def _add(self, service: str, functions: Mapping[str, Unary]) -> None:
        unary: Any = grpc.unary_unary_rpc_method_handler
        handlers = {name: unary(function) for name, function in functions.items()}
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    async def start(self) -> None:
        """Serve."""
        await self._tell_health()
        await self.server.start()
        self._telling = asyncio.create_task(self._keep_telling())

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(_HEALTH_SECONDS)
            await self._tell_health()

    async def _tell_health(self) -> None:
        # A pipeline that is served no more is still known to who watches it.
        told = dict.fromkeys(self._told_of, False)
        told.update(dict.fromkeys(("", protocol.SERVICE, oip.SERVICE), self._lobby.ready))
        told.update((name, self._lobby.of(name).ready) for name in self._lobby.names)
        self._told_of = set(told)
        status = health_pb2.HealthCheckResponse
        for service, ready in told.items():
            await self._health.set(service, status.SERVING if ready else status.NOT_SERVING)

    async def stop(self, grace: float) -> None:
        """Tell those who watch that it ends, accept nothing more, and finish what is under way."""
        self._telling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._telling
        await self._health.enter_graceful_shutdown()
        await self.server.stop(grace)


def _paddle(lobby: Lobby) -> Unary:
    async def inference(request: bytes, context: Any) -> bytes:
        try:
            desk = lobby.of(wire.text(request, protocol.NAME))
        except UnknownModel as fault:
            return bytes(legacy.no_service(fault).SerializeToString())
        with desk.slot():
            oip_rpc.check_size(request, desk)
            return await desk.pipeline(request, oip_rpc.deadline_of(context, desk))

    return inference


class _Guard:
    """Makes of a function a handler: with a record of the request, and faults told as gRPC tells them."""

    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition

    def __call__(self, name: str, path: str, function: Unary) -> Unary:
        """
        Args:
            name: of the protocol in metrics; empty for what is about the service itself.
        """

        async def handler(request: bytes, context: Any) -> bytes:
            record = _record(name, path, context)
            access.begin(record)
            outcome, size = grpc.StatusCode.CANCELLED, 0
            try:
                answer = await function(request, context)
                outcome, size = grpc.StatusCode.OK, len(answer)
                return answer
            except Fault as fault:
                outcome, record.error = fault.code, fault.message
                self._exposition.of(record.pipeline).refused(fault.status)
                await context.abort(fault.code, f"{fault.message}: {fault.remedy}", _trailing(fault, record))
                raise
            except Exception as error:
                outcome, record.error = grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}"
                raise
            finally:
                if name or outcome is not grpc.StatusCode.OK:
                    record.log(outcome.name, size)
                if name:
                    self._exposition.of(record.pipeline).request(name, outcome.name, record.seconds)

        return handler


def _trailing(fault: Fault, record: Record) -> tuple[tuple[str, str], ...]:
    waiting = fault.headers.get("Retry-After")
    return (("x-request-id", record.request_id), *((("retry-after", waiting),) if waiting else ()))


def _record(name: str, path: str, context: Any) -> Record:
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    return Record(
        protocol=name,
        method="gRPC",
        path=path,
        request_id=request_id(metadata.get("x-request-id")),
        trace=continued(metadata.get("traceparent")),
        client=context.peer(),
        key=_key_name.get(),
    )


class _Doorkeeper(grpc.aio.ServerInterceptor):  # type: ignore[type-arg] # generic in its stubs only
    """Asks every call but those for health for a key."""

    def __init__(self, keys: Keys, exposition: Exposition) -> None:
        self._keys = keys
        self._metrics = exposition.of("")

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """The handler of the call, or one that refuses it."""
        handler = await continuation(details)
        if handler is None or details.method.startswith("/grpc.health."):
            return handler
        metadata = {key: value for key, value in details.invocation_metadata or () if isinstance(value, str)}
        try:
            _key_name.set(self._keys.check(metadata.get("authorization"), metadata.get("x-api-key")))
        except Fault as fault:
            return _refusing(handler, details.method, fault, self._metrics)
        return handler


def _refusing(handler: Any, path: str, fault: Fault, metrics: RequestMetrics) -> Any:
    """A handler of the same kind that aborts."""
    name = _PREDICTING.get(path, "")

    async def refuse(request: Any, context: Any) -> None:
        record = _record(name, path, context)
        record.error = fault.message
        record.log(fault.code.name, 0)
        metrics.refused(fault.status)
        if name:
            metrics.request(name, fault.code.name, record.seconds)
        await context.abort(fault.code, f"{fault.message}: {fault.remedy}")

    unary, streaming = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
    kind: Any = streaming if handler.request_streaming else unary
    return kind(refuse)
