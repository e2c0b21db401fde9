"""Paddle Serving's operators around a pipeline's own steps, with our predictor and a request op that is safe."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from paddle_serving_server.pipeline import RequestOp, ResponseOp
from paddle_serving_server.pipeline.operator import Op

from toolkit import pipeline
from toolkit.client.protocol import RESULT_KEY
from toolkit.content import read
from toolkit.content.kinds import Kind
from toolkit.content.read import ContentError
from toolkit.engines import model, signature
from toolkit.hardware import DEFAULT
from toolkit.pipeline import Payload, RequestError, Step, Unprocessable
from toolkit.serving import device, fields
from toolkit.serving.format import SERVER
from toolkit.serving.model_thread import ModelThread
from toolkit.serving.release import MODELS_DIR, PIPELINE_DIR, Release, StepRelease
from toolkit.serving.timing import Timings
from toolkit.serving.warm import WarmUp

logger = logging.getLogger(__name__)

Beat = Callable[[], None]

# The key that ops hand a parcel on under. Paddle Serving 0.9.0 looks into the values of the dictionary that an op
# returns (channel.py, check_npdata), and an empty list among them ends the op's thread: every later request hangs. It
# does not look into an object.
_PARCEL = "parcel"

# The key of a Response that carries timings from the response op to the servicer, which takes them out again.
TIMINGS_KEY = "toolkit.timings"

Unpacked = tuple[Optional[dict[str, "Parcel"]], Optional[int], Optional[int], str]


@dataclass(frozen=True)
class Parcel:
    """What ops hand on: the payload of the pipeline's steps, and the time that they took."""

    payload: Payload
    timings: Timings


class Decode(RequestOp):  # type: ignore[misc] # the base class has no types
    """Takes texts and files, and reads them. Paddle Serving's own op unpickles a stranger's tensors: Serving#1907."""

    def __init__(
        self, decode: Callable[..., Payload], options: Mapping[str, Any], kind: Kind, beat: Beat
    ) -> None:
        self._decode = decode
        self._kind = kind
        self._options = options
        self._beat = beat
        super().__init__()

    def unpack_request_package(self, request: Any) -> Unpacked:
        """The first parcel, or the error number and text of a refusal."""
        timings = Timings()
        try:
            with timings.stage("decode"):
                given = read.fields(self._kind, fields.of(request, self._kind))
                payload = self._decode(given, self._options)
        except ContentError as error:
            return None, request.logid, RequestError.code, str(error)
        except RequestError as error:
            return None, request.logid, error.code, str(error)
        finally:
            self._beat()
        return {_PARCEL: Parcel(payload, timings)}, request.logid, None, ""


class ModelOp(Op):  # type: ignore[misc] # the base class has no types
    """One step of the pipeline: its preprocessing, our predictor, its postprocessing.

    With a concurrency of 1, one thread takes one request after the other through all three, so that what is known of
    the request at hand can be kept in the op.
    """

    def __init__(self, name: str, before: Op, step: Step, infer: Callable[..., Any], beat: Beat) -> None:
        super().__init__(name=name, input_ops=[before])
        self._step = step
        self._infer = infer
        self._beat = beat
        self._timings = Timings()

    def init_from_dict(self, conf: dict[str, Any]) -> None:
        """Take the op's settings; the model is ours, so no LocalPredictor is made."""
        super().init_from_dict(conf)
        self.with_serving = True

    def init_client(self, client_config: Any, server_endpoints: Any) -> None:
        """Nothing to connect: the predictor is in this process."""

    def preprocess(self, input_dicts: Mapping[str, Any], data_id: int = 0, log_id: int = 0) -> Any:
        """Feeds for the model, one inference each."""
        parcel = _parcel(input_dicts)
        self._timings = parcel.timings
        try:
            with self._timings.stage(f"{self.name}.preprocess"):
                return self._step.preprocess(parcel.payload), False, None, ""
        except RequestError as error:
            return None, True, error.code, str(error)
        finally:
            self._beat()

    def process(self, feed_batch: list[Any], typical_logid: int = 0) -> Any:
        """One inference."""
        (feed,) = feed_batch
        self._timings.batch(self.name, len(next(iter(feed.values()))))
        with self._timings.stage(f"{self.name}.inference"):
            return self._infer(feed), 0, ""

    def postprocess(
        self, input_data: Mapping[str, Any], fetch_data: Any, data_id: int = 0, log_id: int = 0
    ) -> Any:
        """The parcel for the next step."""
        parcel = _parcel(input_data)
        try:
            with parcel.timings.stage(f"{self.name}.postprocess"):
                payload = self._step.postprocess(parcel.payload, list(fetch_data))
        except RequestError as error:
            return {}, error.code, str(error)
        finally:
            self._beat()
        return {_PARCEL: Parcel(payload, parcel.timings)}, None, ""


def _parcel(data: Mapping[str, Any]) -> Parcel:
    (before,) = data.values()
    parcel: Parcel = before[_PARCEL]
    return parcel


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

        parcel = channeldata.parse()[_PARCEL]
        answer = self._respond(parcel.payload)
        try:
            result = json.dumps(answer, ensure_ascii=False, allow_nan=False)
        except ValueError as error:
            return pipeline_service_pb2.Response(
                err_no=Unprocessable.code,
                err_msg=f"the answer to this request cannot be written as JSON: {error}",
            )
        return pipeline_service_pb2.Response(
            err_no=0, key=[RESULT_KEY, TIMINGS_KEY], value=[result, parcel.timings.text()]
        )


@dataclass(frozen=True)
class Graph:
    """The ops of a release.

    Attributes:
        response: the last op, which knows the ones before it.
        ops: the model ops, in order.
        models: each model's inference, by name.
    """

    response: Answer
    ops: Sequence[ModelOp]
    models: Mapping[str, ModelThread]


def build(directory: Path, release: Release, beat: Beat, warm_seconds: float, deadline: float) -> Graph:
    """The graph of the release in `directory`, its models loaded and warm.

    Args:
        beat: called after every piece of work.
        warm_seconds: that models may be warmed up in all; 0: they are not.
        deadline: by when no more models are warmed up, on the monotonic clock.
    """
    code = directory / PIPELINE_DIR
    decode = pipeline.resolve(code, release.request)
    before: Op = Decode(decode, release.request_options, release.accepts, beat)
    ops: list[ModelOp] = []
    models: dict[str, ModelThread] = {}
    capacity = min(item.predictor_options.cache_capacity for item in release.steps)
    warm_up = WarmUp(warm_seconds, deadline, capacity, release.limits.memory_limit_megabytes)
    for item in release.steps:
        models[item.name] = _load(directory, release, item, beat)
        step = pipeline.resolve(code, item.step)(item.options)
        # Native kernels are the same for all shapes; the others are compiled for each.
        if warm_seconds and item.predictor_options.backend != "native":
            known = signature.read(_place(directory, item))
            logger.info("warmed up %s: %s", item.name, warm_up(models[item.name], known, step))
        before = ModelOp(item.name, before, step, models[item.name], beat)
        ops.append(before)
    return Graph(Answer(before, pipeline.resolve(code, release.response)), ops, models)


def _load(directory: Path, release: Release, item: StepRelease, beat: Beat) -> ModelThread:
    path = _place(directory, item)
    if release.target != DEFAULT:
        logger.warning("%s is loaded for %s, on which nobody has verified it", item.name, release.target)
        return ModelThread(item.name, lambda: device.load(directory, path, item), beat)
    loaded = ModelThread(item.name, lambda: model.load(path, item.predictor_options), beat)
    logger.info("loaded %s in %s, by %s", item.name, item.precision, item.predictor_options.engine)
    return loaded


def _place(directory: Path, item: StepRelease) -> Path:
    return directory / MODELS_DIR / item.model / SERVER
