"""What every replica must do, fake or real; `tests/fakes.py` says it in words."""

from __future__ import annotations

import base64
import json
from typing import Any

import grpc

from tests.fakes import png
from toolkit.client import protocol
from toolkit.client.results import parse_prediction

_IMAGE = base64.b64encode(png()).decode()
_NOT_AN_IMAGE = base64.b64encode(b"this is not an image").decode()


def check_replica(target: str, name: str = "ocr", timeout: float = 10.0) -> None:
    """Fail with an AssertionError where the replica at the gRPC `target` breaks the contract.

    Args:
        name: the name that the replica serves under.
        timeout: seconds for each request.
    """
    options = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
    with grpc.insecure_channel(target, options=options) as channel:
        inference = channel.unary_unary(
            protocol.PATH,
            request_serializer=protocol.Request.SerializeToString,
            response_deserializer=protocol.Response.FromString,
        )

        def ask(**fields: Any) -> Any:
            request = protocol.Request(method=protocol.METHOD_NAME, **fields)
            return inference(request, timeout=timeout, wait_for_ready=True)

        _check_answers(ask, name)
        _check_text_tensor(ask, name)
        _check_refusals(ask, name)
        # An error leaves nothing behind that the next request would meet.
        _check_answers(ask, name)


def _check_answers(ask: Any, name: str) -> None:
    for asked in (name, ""):
        response = ask(name=asked, key=["image"], value=[_IMAGE], logid=7, clientip="127.0.0.1")
        assert (response.err_no, response.err_msg) == (0, ""), f"name {asked!r}: {response}"
        assert list(response.key) == ["result"], response
        assert not response.tensors, response
        prediction = parse_prediction(json.loads(response.value[0]))
        assert (prediction.width, prediction.height) == (64, 32), prediction
        assert set(prediction.raw) == {"lines", "width", "height"}, prediction.raw


def _check_text_tensor(ask: Any, name: str) -> None:
    """Stock clients can pack a text as a tensor of type 12; the front door packs a file as it is."""
    text = protocol.Tensor(name="image", str_data=[_IMAGE], elem_type=12)
    file = protocol.Tensor(name="image", byte_data=png(), elem_type=protocol.FILE_TYPE)
    for tensor in (text, file):
        assert ask(name=name, tensors=[tensor]).err_no == 0


def _check_refusals(ask: Any, name: str) -> None:
    # Type 13 is what Paddle Serving's own request op unpickles.
    pickled = protocol.Tensor(name="image", byte_data=b"\x93NUMPY", elem_type=13)
    huge = base64.b64encode(png(20_000, 20_000)).decode()
    refused: dict[str, tuple[int, dict[str, Any]]] = {
        "another name": (protocol.NO_SERVICE, {"name": "other", "key": ["image"], "value": [_IMAGE]}),
        "nothing at all": (protocol.BAD_REQUEST, {"name": name}),
        "another key": (protocol.BAD_REQUEST, {"name": name, "key": ["picture"], "value": [_IMAGE]}),
        "a key without a value": (protocol.BAD_REQUEST, {"name": name, "key": ["image"]}),
        "broken base64": (protocol.BAD_REQUEST, {"name": name, "key": ["image"], "value": ["###"]}),
        "not an image": (protocol.UNPROCESSABLE, {"name": name, "key": ["image"], "value": [_NOT_AN_IMAGE]}),
        "an empty image": (protocol.BAD_REQUEST, {"name": name, "key": ["image"], "value": [""]}),
        "a tensor that is no text": (protocol.BAD_REQUEST, {"name": name, "tensors": [pickled]}),
        "too many pixels": (protocol.TOO_LARGE, {"name": name, "key": ["image"], "value": [huge]}),
    }
    for what, (err_no, fields) in refused.items():
        response = ask(**fields)
        assert response.err_no == err_no, f"{what}: expected err_no {err_no}, got {response}"
        assert response.err_msg, f"{what}: err_no {err_no} without a message"
        assert not response.key, f"{what}: an error and a result"
        assert not response.value, f"{what}: an error and a result"
