"""An inference as the REST protocol has it: JSON, with the tensors' data in it or as bytes behind it.

The second is the binary tensor data extension: the header `Inference-Header-Content-Length` says where the JSON ends,
and `binary_data_size`, a parameter of a tensor, how many of the bytes behind it are its own, in the tensors' order.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from toolkit.oip import codec, dtypes, messages, values
from toolkit.oip.errors import OipError, about, shown

LENGTH_HEADER = "Inference-Header-Content-Length"

# To read or write more takes seconds, in which a server does nothing else; as binary data it takes milliseconds.
_MAX_VALUES = 2_000_000

_SIZE, _BINARY, _BINARY_ALL = "binary_data_size", "binary_data", "binary_data_output"


@dataclass(frozen=True)
class Call:
    """
    Attributes:
        request: a ModelInferRequest, all its contents raw.
        texts: names of the inputs whose data was in the JSON; what is BYTES among them came as text.
    """

    request: Any
    texts: frozenset[str]


@dataclass(frozen=True)
class Content:
    """
    Attributes:
        body: of the HTTP response.
        json_size: how much of it is JSON; None: all.
    """

    body: bytes
    json_size: int | None


def parse(body: bytes, header_length: str | None, model: str, version: str = "") -> Call:
    """The inference that a request to `model` asks for.

    Args:
        header_length: the header `Inference-Header-Content-Length`.

    Raises:
        OipError: anything is wrong with it.
    """
    size = _json_size(header_length, len(body))
    data = _load(body[:size])
    binary = _Binary(body, size)
    request = messages.ModelInferRequest(model_name=model, model_version=version)
    request.id = _text(data.get("id", ""), "id")
    _set_parameters(request.parameters, data)
    texts = frozenset(_add_inputs(request, data, binary))
    binary.check_end()
    for item in _objects(data, "outputs"):
        output = request.outputs.add(name=_text(item.get("name"), "the name of an output"))
        _set_parameters(output.parameters, item)
    codec.requested(request)
    _wants_binary(request)
    return Call(request, texts)


def _json_size(header: str | None, length: int) -> int:
    if header is None:
        return length
    # More digits than any length has are no number that is worth to be read.
    if not (header.isascii() and header.isdigit() and len(header) <= 18):
        raise OipError(f"{LENGTH_HEADER} is {shown(header)}, not a whole number")
    if int(header) > length:
        raise OipError(f"{LENGTH_HEADER} is {header}, the body has {length} bytes")
    return int(header)


def _load(text: bytes) -> dict[str, Any]:
    if text.count(b",") > _MAX_VALUES:
        raise OipError(f"the JSON has more than {_MAX_VALUES} values; send large tensors as binary data")
    try:
        data = json.loads(text.decode("utf-8"), parse_constant=_refuse_constant, parse_int=_PARSE_INT)
    except (ValueError, RecursionError) as error:
        raise OipError(f"the request is not JSON: {error or type(error).__name__}") from error
    if not isinstance(data, dict):
        raise OipError("the request is not a JSON object")
    return data


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def _integer(text: str) -> int:
    if len(text) > 20:
        raise ValueError(f"a number has {len(text)} digits")
    return int(text)


# The time that int() takes grows with the square of the digits. Python has a limit of its own since 3.9.14, and is many
# times faster with it than when it calls back for each number.
_PARSE_INT = None if hasattr(sys, "get_int_max_str_digits") else _integer


class _Binary:
    """The bytes behind the JSON, which tensor after tensor takes its own from."""

    def __init__(self, body: bytes, offset: int) -> None:
        self._body = body
        self._offset = offset

    def take(self, size: Any) -> bytes:
        if type(size) is not int or size < 0:
            raise OipError(f"{_SIZE} is not a whole number of bytes")
        end = self._offset + size
        if end > len(self._body):
            raise OipError(f"{_SIZE} is {size}, {len(self._body) - self._offset} bytes are left of the body")
        taken, self._offset = self._body[self._offset : end], end
        return taken

    def check_end(self) -> None:
        left = len(self._body) - self._offset
        if left:
            raise OipError(f"the last {left} bytes of the body belong to no input")


def _add_inputs(request: Any, data: Mapping[str, Any], binary: _Binary) -> list[str]:
    """Adds all inputs; the names of those whose data is in the JSON."""
    texts, seen = [], set()
    for item in _objects(data, "inputs"):
        name = _text(item.get("name"), "the name of an input")
        if name in seen:
            raise OipError(f"the input {shown(name)} is there twice")
        seen.add(name)
        with about(f"input {shown(name)}"):
            if _add_input(request, name, item, binary):
                texts.append(name)
    if not seen:
        raise OipError("the request has no inputs")
    return texts


def _add_input(request: Any, name: str, item: Mapping[str, Any], binary: _Binary) -> bool:
    """Adds one input; whether its data is in the JSON."""
    datatype, shape = dtypes.find(_text(item.get("datatype"), "datatype")), _shape(item.get("shape"))
    tensor = request.inputs.add(name=name, datatype=datatype.name, shape=shape)
    parameters = dict(_parameters(item))
    size = parameters.pop(_SIZE, None)
    codec.refuse_shared_memory(parameters)
    for key, value in parameters.items():
        _set(tensor.parameters[_text(key, "the name of a parameter")], key, value)
    if size is not None:
        if "data" in item:
            raise OipError(f"it has both data and {_SIZE}")
        raw = binary.take(size)
        dtypes.unpack(raw, datatype, shape)
    elif "data" in item:
        raw = dtypes.pack(values.from_json(item["data"], datatype, shape), datatype)
    else:
        raise OipError(f"it has neither data nor {_SIZE}")
    request.raw_input_contents.append(raw)
    return size is None


def _shape(shape: Any) -> list[int]:
    if not isinstance(shape, list) or any(type(side) is not int for side in shape):
        raise OipError("shape is not a list of whole numbers")
    dtypes.count(shape)
    return shape


def _objects(data: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    items = data.get(key, [])
    if not isinstance(items, list) or any(not isinstance(item, dict) for item in items):
        raise OipError(f"{key} is not a list of objects")
    if len(items) > codec.MAX_TENSORS:
        raise OipError(f"there are {len(items)} {key}, more than {codec.MAX_TENSORS}")
    return items


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise OipError(f"{what} is missing or not a text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise OipError(f"{what} is not Unicode: it has half of a surrogate pair") from error
    return value


def _parameters(item: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = item.get("parameters", {})
    if not isinstance(parameters, dict):
        raise OipError("parameters is not an object")
    return parameters


def _set_parameters(target: Any, item: Mapping[str, Any]) -> None:
    for key, value in _parameters(item).items():
        _set(target[_text(key, "the name of a parameter")], key, value)


def _set(parameter: Any, key: str, value: Any) -> None:
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, str):
        parameter.string_param = _text(value, f"the parameter {shown(key)}")
    elif isinstance(value, float) and math.isfinite(value):
        parameter.double_param = value
    elif isinstance(value, int) and -(2**63) <= value < 2**63:
        parameter.int64_param = value
    elif isinstance(value, int) and 0 <= value < 2**64:
        parameter.uint64_param = value
    else:
        raise OipError(f"the parameter {shown(key)} is neither a text nor true, false or a number of 64 bits")


def render(request: Any, response: Any) -> Content:
    """The outputs of a ModelInferResponse in the form that the request asks for, each by itself.

    Raises:
        OipError: the data of an output that is to be JSON cannot be written so, or is too much.
    """
    binary, every = _wants_binary(request)
    written = sum(dtypes.count(item.shape) for item in response.outputs if not binary.get(item.name, every))
    if written > _MAX_VALUES:
        raise OipError(f"the answer has {written} values, too many for JSON; ask for it as binary data")
    arrays = codec.outputs(response)
    outputs, raws = [], []
    for index, tensor in enumerate(response.outputs):
        datatype = dtypes.find(tensor.datatype)
        item = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        if binary.get(tensor.name, every):
            raw = response.raw_output_contents
            raws.append(raw[index] if raw else dtypes.pack(arrays[tensor.name], datatype))
            item["parameters"] = {_SIZE: len(raws[-1])}
        else:
            with about(f"output {shown(tensor.name)}"):
                item["data"] = values.to_json(arrays[tensor.name], datatype)
        outputs.append(item)
    data: dict[str, Any] = {"model_name": response.model_name, "model_version": response.model_version}
    if response.id:
        data["id"] = response.id
    data["outputs"] = outputs
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    return Content(b"".join([text, *raws]), len(text) if raws else None)


def _wants_binary(request: Any) -> tuple[dict[str, bool], bool]:
    """Whether each output that is named is wanted as bytes, and those that are not told."""
    every = _flag(request.parameters, _BINARY_ALL, False)
    return {item.name: _flag(item.parameters, _BINARY, every) for item in request.outputs}, every


def _flag(parameters: Any, key: str, default: bool) -> bool:
    # A map of messages gives, and keeps, an empty one for a key that it has not.
    if key not in parameters:
        return default
    if parameters[key].WhichOneof("parameter_choice") != "bool_param":
        raise OipError(f"the parameter {shown(key)} is neither true nor false")
    return bool(parameters[key].bool_param)
