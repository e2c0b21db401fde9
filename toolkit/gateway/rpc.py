"""The gRPC side of the front door: Paddle Serving's PipelineService, passed through as bytes."""

from __future__ import annotations

import time
from typing import Any

import grpc
import grpc.aio

from toolkit.client import protocol
from toolkit.gateway import access
from toolkit.gateway.admission import Admission
from toolkit.gateway.faults import Fault
from toolkit.gateway.options import GatewayOptions
from toolkit.gateway.replica import Replica


def create_server(options: GatewayOptions, admission: Admission, replica: Replica) -> grpc.aio.Server:
    """The server, with no port yet."""

    async def inference(request: bytes, context: Any) -> bytes:
        started, outcome, size = time.monotonic(), grpc.StatusCode.CANCELLED, 0
        try:
            with admission.slot():
                answer = await replica.inference(request, _seconds(context, options.deadline))
            outcome, size = grpc.StatusCode.OK, len(answer)
            return answer
        except Fault as fault:
            outcome = fault.code
            await context.abort(fault.code, f"{fault.message}: {fault.remedy}")
            raise
        finally:
            access.log("gRPC", protocol.PATH, outcome.name, started, size)

    server = grpc.aio.server(
        options=(
            # With gRPC's default, a second server would share the port without a word.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", options.max_body_bytes),
            ("grpc.max_send_message_length", -1),
        )
    )
    handler: Any = grpc.unary_unary_rpc_method_handler(inference)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(protocol.SERVICE, {protocol.METHOD: handler}),)
    )
    return server


def _seconds(context: Any, limit: float) -> float:
    asked = context.time_remaining()
    return limit if asked is None else min(limit, asked)
