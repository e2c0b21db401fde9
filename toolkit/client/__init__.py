"""The SDK: ask a running service from another program, over HTTP or gRPC.

    from toolkit.client import HttpClient

    with HttpClient("http://127.0.0.1:9393") as client:
        for line in client.predict("ocr", Path("receipt.jpg")).lines:
            print(line.text, line.score)

A pipeline that takes texts is asked by `client.predict_text(model, text)`, one that takes JSON by
`client.predict_json(model, inputs)`. `GrpcClient("127.0.0.1:9394")` has the same methods. Both take an `api_key`, and
for TLS `ca`, `cert` and `key`. Importing this package pulls in the standard library, grpcio and protobuf, and nothing
heavier.
"""

from __future__ import annotations

from toolkit.client.errors import (
    BadRequest,
    ClientError,
    DeadlineExceeded,
    NotFound,
    ServerFault,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from toolkit.client.http import HttpClient
from toolkit.client.results import Line, Prediction
from toolkit.client.rpc import GrpcClient

__all__ = [
    "BadRequest",
    "ClientError",
    "DeadlineExceeded",
    "GrpcClient",
    "HttpClient",
    "Line",
    "NotFound",
    "Prediction",
    "ServerFault",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
]
