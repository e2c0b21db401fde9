"""What a front door is told when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolkit.gateway.tls import Tls


@dataclass(frozen=True)
class GatewayOptions:
    """
    Attributes:
        host: address that both ports are bound to.
        http_port, grpc_port: 0 takes a free one.
        max_body_bytes: largest HTTP body and largest gRPC request.
        deadline: seconds a request may take from its arrival; a client may ask for less, not for more.
        queue: requests that wait, over all protocols, beyond those that the replicas are at.
        max_connections: HTTP connections that are open at once.
        header_seconds: until when a connection must have sent the headers of its request.
        keys_file: API keys; None: those of the environment, or none are asked for.
        tls: certificate and key of both ports; None: no encryption.
    """

    host: str
    http_port: int
    grpc_port: int
    max_body_bytes: int = 16 * 1024 * 1024
    deadline: float = 30.0
    queue: int = 32
    max_connections: int = 1000
    header_seconds: float = 10.0
    keys_file: Path | None = None
    tls: Tls | None = None
