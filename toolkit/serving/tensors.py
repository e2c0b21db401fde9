"""Single models over the Open Inference Protocol: what the replica makes of a ModelInferRequest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

import numpy as np
from google.protobuf.message import DecodeError

from toolkit.errors import ModelError
from toolkit.oip import VERSION, codec, messages
from toolkit.oip.errors import OipError, shown

Arrays = Mapping[str, "np.ndarray[Any, Any]"]


class BadTensors(Exception):
    """The request is malformed, or its tensors are none that the model takes."""


class UnknownModel(Exception):
    """There is no model of that name."""


class Tensors:
    """Runs models on tensors of a request.

    Args:
        models: by the names that requests use; safe for use by several threads at once.
    """

    def __init__(self, models: Mapping[str, Callable[[Arrays], Arrays]]) -> None:
        self._models = models

    def infer(self, request: bytes) -> bytes:
        """A serialized ModelInferRequest in, a serialized ModelInferResponse out.

        Raises:
            BadTensors: the request is malformed, asks for outputs that there are not, or the engine refused the arrays.
            UnknownModel: no model of that name.
        """
        try:
            message = messages.ModelInferRequest.FromString(request)
        except DecodeError as error:
            raise BadTensors("the request is no ModelInferRequest") from error
        model = self._models.get(message.model_name)
        if model is None:
            raise UnknownModel(f"no model {shown(message.model_name)} here")
        try:
            arrays = codec.inputs(message)
            wanted = codec.requested(message)
            outputs = _select(model(arrays), wanted)
        except (OipError, ModelError) as error:
            raise BadTensors(str(error)) from error
        answer = codec.response(message.model_name, VERSION, outputs, request_id=message.id)
        return bytes(answer.SerializeToString())


def _select(outputs: Arrays, wanted: list[str]) -> Arrays:
    unknown = [name for name in wanted if name not in outputs]
    if unknown:
        raise OipError(f"the model has the outputs {sorted(outputs)}, not {shown(unknown[0])}")
    return {name: outputs[name] for name in wanted or outputs}
