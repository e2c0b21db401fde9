"""The gRPC services of a replica: Paddle Serving's, with timings beside the answer, and single models as tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grpc

from toolkit import mailbox, oip
from toolkit.client import protocol
from toolkit.mailbox import Delivery
from toolkit.serving.ops import TIMINGS_KEY
from toolkit.serving.tensors import BadTensors, Tensors, UnknownModel
from toolkit.serving.timing import METADATA_KEY


def pipeline_handlers(pipeline: str, response: Any, config: Mapping[str, Any], delivery: Delivery) -> Any:
    """Paddle Serving's service, made to send timings; what the ops say of them goes into the trailing metadata.

    Args:
        response: the last op of the graph.
        config: the content of `config.yml`.
    """
    # Slow to import.
    from paddle_serving_server.pipeline.pipeline_server import PipelineServicer
    from paddle_serving_server.pipeline.proto.pipeline_service_pb2 import Request

    servicer = PipelineServicer(pipeline, response, config)

    def inference(body: bytes, context: Any) -> bytes:
        request = Request.FromString(_delivered(body, context, delivery))
        answer = servicer.inference(request, context)
        if TIMINGS_KEY in answer.key:
            index = list(answer.key).index(TIMINGS_KEY)
            context.set_trailing_metadata(((METADATA_KEY, answer.value[index]),))
            del answer.key[index], answer.value[index]
        return bytes(answer.SerializeToString())

    return _handlers(protocol.SERVICE, protocol.METHOD, inference)


def tensor_handlers(pipeline: str, models: Mapping[str, Callable[..., Any]], delivery: Delivery) -> Any:
    """A service that runs single models: a serialized ModelInferRequest in, a ModelInferResponse out."""
    tensors = Tensors({f"{pipeline}.{name}": infer for name, infer in models.items()})

    def infer(body: bytes, context: Any) -> bytes:
        try:
            return tensors.infer(_delivered(body, context, delivery))
        except UnknownModel as error:
            context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except BadTensors as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        raise AssertionError("abort raises")

    return _handlers(oip.SERVICE, oip.INFER, infer)


def _handlers(service: str, method: str, answer: Callable[[bytes, Any], bytes]) -> Any:
    return grpc.method_handlers_generic_handler(
        service, {method: grpc.unary_unary_rpc_method_handler(answer)}
    )


def _delivered(body: bytes, context: Any, delivery: Delivery) -> bytes:
    """The request, wherever it is."""
    place = next((value for key, value in context.invocation_metadata() if key == mailbox.KEY), None)
    return body if place is None else delivery.take(place)
