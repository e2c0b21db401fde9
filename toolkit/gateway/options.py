"""What a front door is told when it is made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GatewayOptions:
    """
    Attributes:
        model: the name that requests use.
        host: address that both ports are bound to.
        http_port, grpc_port: 0 takes a free one.
        replica: gRPC target of the replica, e.g. `unix:/path/replica.sock`.
        max_body_bytes: largest HTTP body and largest gRPC request.
        deadline: seconds a request may take from its arrival; a client may ask for less, not for more.
        max_in_flight: requests over both ports that are being read or answered at once.
    """

    model: str
    host: str
    http_port: int
    grpc_port: int
    replica: str
    max_body_bytes: int = 16 * 1024 * 1024
    deadline: float = 30.0
    max_in_flight: int = 64
