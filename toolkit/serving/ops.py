"""Paddle Serving's operators around a pipeline's own steps, with our predictor and a request op that is safe."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional

from paddle_serving_server.pipeline import RequestOp, ResponseOp
from paddle_serving_server.pipeline.operator import Op

from toolkit import pipeline
from toolkit.engines import model
from toolkit.pipeline import Payload, RequestError, Step
from toolkit.serving.format import SERVER
from toolkit.serving.release import MODELS_DIR, PIPELINE_DIR, Release, StepRelease

logger = logging.getLogger(__name__)

# Paddle Serving's element type of a text.
_STRING = 12

# The key that ops hand a payload on under. Paddle Serving 0.9.0 looks into the values of the dictionary that an op
# returns (channel.py, check_npdata), and an empty list among them ends the op's thread: every later request hangs.
_PAYLOAD = "payload"

Unpacked = tuple[Optional[dict[str, Payload]], Optional[int], Optional[int], str]


class Decode(RequestOp):  # type: ignore[misc] # the base class has no types
    """Takes texts only. Paddle Serving's own op unpickles tensors that a stranger sends: Serving#1907."""

    def __init__(self, decode: Callable[[Mapping[str, Any]], Payload]) -> None:
        self._decode = decode
        super().__init__()

    def unpack_request_package(self, request: Any) -> Unpacked:
        """The first payload, or the error number and text of a refusal."""
        try:
            return {_PAYLOAD: self._decode(_fields(request))}, request.logid, None, ""
        except RequestError as error:
            return None, request.logid, error.code, str(error)


def _fields(request: Any) -> dict[str, str]:
    """Keys with their values, and tensors that are texts.

    Raises:
        RequestError: another kind of tensor, or keys without values.
    """
    if len(request.key) != len(request.value):
        raise RequestError(f"the request has {len(request.key)} keys and {len(request.value)} values")
    fields = dict(zip(request.key, request.value))
    for tensor in request.tensors:
        if tensor.elem_type != _STRING:
            raise RequestError(f"the tensor {tensor.name!r} is no text; send the image as a base64 text")
        fields[tensor.name] = "".join(tensor.str_data)
    return fields


class ModelOp(Op):  # type: ignore[misc] # the base class has no types
    """One step of the pipeline: its preprocessing, our predictor, its postprocessing."""

    def __init__(self, name: str, before: Op, step: Step, infer: Callable[..., Any]) -> None:
        super().__init__(name=name, input_ops=[before])
        self._step = step
        self._infer = infer

    def init_from_dict(self, conf: dict[str, Any]) -> None:
        """Take the op's settings; the model is ours, so no LocalPredictor is made."""
        super().init_from_dict(conf)
        self.with_serving = True

    def init_client(self, client_config: Any, server_endpoints: Any) -> None:
        """Nothing to connect: the predictor is in this process."""

    def preprocess(self, input_dicts: Mapping[str, Any], data_id: int = 0, log_id: int = 0) -> Any:
        """Feeds for the model, one inference each."""
        (before,) = input_dicts.values()
        return self._step.preprocess(before[_PAYLOAD]), False, None, ""

    def process(self, feed_batch: list[Any], typical_logid: int = 0) -> Any:
        """One inference."""
        return self._infer(feed_batch[0]), 0, ""

    def postprocess(
        self, input_data: Mapping[str, Any], fetch_data: Any, data_id: int = 0, log_id: int = 0
    ) -> Any:
        """The payload for the next step."""
        (before,) = input_data.values()
        return {_PAYLOAD: self._step.postprocess(before[_PAYLOAD], list(fetch_data))}, None, ""


class Answer(ResponseOp):  # type: ignore[misc] # the base class has no types
    """The last payload as the client gets it: one JSON object under the key `result`."""

    def __init__(self, before: Op, respond: Callable[[Payload], Mapping[str, Any]]) -> None:
        self._respond = respond
        super().__init__(input_ops=[before])

    def pack_response_package(self, channeldata: Any) -> Any:
        """A response; errors as Paddle Serving packs them."""
        if channeldata.error_code != 0:
            return super().pack_response_package(channeldata)
        from paddle_serving_server.pipeline.proto import pipeline_service_pb2

        result = json.dumps(self._respond(channeldata.parse()[_PAYLOAD]), ensure_ascii=False)
        return pipeline_service_pb2.Response(err_no=0, key=["result"], value=[result])


def build(directory: Path, release: Release) -> tuple[Answer, list[ModelOp]]:
    """The graph of the release in `directory`, its models loaded: the response op, and the model ops in order."""
    code = directory / PIPELINE_DIR
    before: Op = Decode(pipeline.resolve(code, release.request))
    ops: list[ModelOp] = []
    for item in release.steps:
        before = _model_op(directory, item, before)
        ops.append(before)
    return Answer(before, pipeline.resolve(code, release.response)), ops


def _model_op(directory: Path, item: StepRelease, before: Op) -> ModelOp:
    infer = model.load(directory / MODELS_DIR / item.model / SERVER, item.predictor_options)
    step = pipeline.resolve(directory / PIPELINE_DIR, item.step)(item.options)
    logger.info("loaded %s in %s", item.name, item.precision)
    return ModelOp(item.name, before, step, infer)
