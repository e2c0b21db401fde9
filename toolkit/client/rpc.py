"""The client that speaks gRPC, in Paddle Serving's pipeline protocol."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc

from toolkit.client import protocol
from toolkit.client.contents import Image, Inputs, to_base64, to_json
from toolkit.client.errors import (
    BadRequest,
    ClientError,
    DeadlineExceeded,
    NotFound,
    ServerFault,
    TooLarge,
    Unauthenticated,
    Unavailable,
    from_status,
    seconds,
)
from toolkit.client.results import Prediction, parse_prediction
from toolkit.client.security import Access
from toolkit.content.kinds import FIELDS

# The size limits are the server's affair; a proxy named in the environment is not heeded, as over HTTP.
_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
)

_BY_CODE: dict[grpc.StatusCode, type[ClientError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: BadRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.UNIMPLEMENTED: NotFound,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}

_LATER = {
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.CANCELLED: 503,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
}


class GrpcClient:
    """Ask the service at `target`; safe to share between threads.

        with GrpcClient("127.0.0.1:9394") as client:
            prediction = client.predict("ocr", Path("receipt.jpg"))
            prediction = client.predict_text("segmentation_zh", "我爱北京天安门")

    Args:
        target: a gRPC target, `host:port` or `unix:/path`.
        timeout: seconds for a call that names none, sent along as the gRPC deadline.
        api_key: for a service that asks for one.
        ca: file of the authorities that may have signed the service's certificate, in place of the system's.
        cert, key: certificate and private key of the client, for a service that asks for them.
        server_name: whom the service's certificate is for, if not the host of the target.
        tls: whether the service encrypts; None: it does if `ca` or `cert` is given.

    Raises:
        ValueError: what is given makes no sense together.
        OSError: a file of a certificate cannot be read, or is none.
    """

    def __init__(
        self,
        target: str = "127.0.0.1:9394",
        timeout: float = 10.0,
        *,
        api_key: str | None = None,
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
        tls: bool | None = None,
        server_name: str | None = None,
    ) -> None:
        access = Access(api_key, ca, cert, key, server_name)
        self._channel = _channel(target, access, access.encrypted if tls is None else tls)
        self._metadata = tuple(access.headers.items())
        self._inference: Any = self._channel.unary_unary(
            protocol.PATH, request_serializer=None, response_deserializer=protocol.Response.FromString
        )
        self._timeout = timeout

    def __enter__(self) -> GrpcClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def predict(self, model: str, image: Image, timeout: float | None = None) -> Prediction:
        """Ask a pipeline that takes images.

        Args:
            image: the bytes of an image file (JPEG, PNG, ...), or its path.
            timeout: seconds, in place of the client's own.

        Raises:
            ClientError: one of its subclasses, by what went wrong.
            OSError: the file cannot be read.
        """
        return self._ask(protocol.pack_text(model, to_base64(image)), timeout)

    def predict_text(self, model: str, text: str, timeout: float | None = None) -> Prediction:
        """Ask a pipeline that takes texts; raises as `predict` does."""
        return self._ask(protocol.pack_text(model, text, FIELDS["text"]), timeout)

    def predict_json(self, model: str, inputs: Inputs, timeout: float | None = None) -> Prediction:
        """Ask a pipeline that takes JSON.

        Args:
            inputs: an object or array, as the pipeline takes it.
            timeout: seconds, in place of the client's own.

        Raises:
            ClientError: one of its subclasses, by what went wrong.
            ValueError, TypeError: there is something in `inputs` that JSON does not have, as NaN.
        """
        return self._ask(protocol.pack_text(model, to_json(inputs), FIELDS["json"]), timeout)

    def _ask(self, request: bytes, timeout: float | None) -> Prediction:
        response = self._call(request, timeout)
        if response.err_no != protocol.OK:
            raise from_status(protocol.http_status(response.err_no), response.err_msg or "no message")
        return parse_prediction(_result(response))

    def ready(self) -> bool:
        """Whether the service answers at all: an empty request gets an error number from one that works."""
        try:
            self._call(protocol.Request(method=protocol.METHOD_NAME).SerializeToString(), None)
        except ClientError:
            return False
        return True

    def close(self) -> None:
        """Close the channel; calls under way end with `Unavailable`."""
        self._channel.close()

    def _call(self, request: bytes, timeout: float | None) -> Any:
        try:
            return self._inference(
                request, timeout=self._timeout if timeout is None else timeout, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise _translate(error) from error


def _channel(target: str, access: Access, tls: bool) -> grpc.Channel:
    if tls:
        name = access.server_name
        options = (*_OPTIONS, *((("grpc.ssl_target_name_override", name),) if name else ()))
        return grpc.secure_channel(target, access.grpc_credentials(), options=options)
    if access.encrypted:
        raise ValueError("certificates are for TLS only: leave `tls` alone, or set it")
    return grpc.insecure_channel(target, options=_OPTIONS)


def _result(response: Any) -> object:
    text = protocol.first_value(response, protocol.RESULT_KEY)
    if text is None:
        raise ServerFault(f"the service answered without {protocol.RESULT_KEY!r}")
    try:
        return json.loads(text)
    except ValueError as error:
        raise ServerFault(f"the service answered something that is not JSON: {error}") from error


def _translate(error: Any) -> ClientError:
    code, details = error.code(), error.details() or ""
    message = f"{code.name}: {details}"
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        # gRPC has one code for a message over the size limit and for a server that is full.
        return TooLarge(message)
    if code in _LATER:
        return Unavailable(message, _LATER[code], seconds(_trailing(error).get("retry-after")))
    return _BY_CODE.get(code, ServerFault)(message)


def _trailing(error: Any) -> dict[str, str]:
    return {key: value for key, value in error.trailing_metadata() or () if isinstance(value, str)}
