"""The gRPC services of a replica: Paddle Serving's, with timings beside the answer, and single models as tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grpc

from toolkit import oip
from toolkit.serving.ops import TIMINGS_KEY
from toolkit.serving.tensors import BadTensors, Tensors, UnknownModel
from toolkit.serving.timing import METADATA_KEY


def servicer_class() -> Any:
    """Paddle Serving's servicer, made to send timings; a function, since the base class is slow to import."""
    from paddle_serving_server.pipeline.pipeline_server import PipelineServicer

    class TimedServicer(PipelineServicer):  # type: ignore[misc] # the base class has no types
        def inference(self, request: Any, context: Any) -> Any:
            """The answer of the ops; what they say of the time goes into the trailing metadata."""
            response = super().inference(request, context)
            if TIMINGS_KEY in response.key:
                index = list(response.key).index(TIMINGS_KEY)
                context.set_trailing_metadata(((METADATA_KEY, response.value[index]),))
                del response.key[index], response.value[index]
            return response

    return TimedServicer


def tensor_handlers(pipeline: str, models: Mapping[str, Callable[..., Any]]) -> Any:
    """A service that runs single models: a serialized ModelInferRequest in, a ModelInferResponse out."""
    tensors = Tensors({f"{pipeline}.{name}": infer for name, infer in models.items()})

    def infer(request: bytes, context: Any) -> bytes:
        try:
            return tensors.infer(request)
        except UnknownModel as error:
            context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except BadTensors as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        raise AssertionError("abort raises")

    handler = grpc.unary_unary_rpc_method_handler(infer)
    return grpc.method_handlers_generic_handler(oip.SERVICE, {oip.INFER: handler})
