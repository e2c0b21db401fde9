"""Messages of an inference on one side, named numpy arrays on the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from toolkit.oip import dtypes, messages
from toolkit.oip.dtypes import Array, Datatype
from toolkit.oip.errors import OipError, about, shown

_SHARED = "shared_memory_region"

# More than any model has. A request of 16 MB can name eight million, and to look at each takes minutes.
MAX_TENSORS = 1000


def inputs(request: Any) -> dict[str, Array]:
    """The inputs of a ModelInferRequest, from raw or typed contents; they may be read-only.

    Raises:
        OipError: contents do not fit their tensors, a name is missing or there twice, ...
    """
    return _arrays("input", request.inputs, request.raw_input_contents)


def outputs(response: Any) -> dict[str, Array]:
    """The outputs of a ModelInferResponse, as `inputs` has those of a request."""
    return _arrays("output", response.outputs, response.raw_output_contents)


def requested(request: Any) -> list[str]:
    """The outputs that a ModelInferRequest asks for; empty: all.

    Raises:
        OipError: one is asked for twice, or in a way that there is not.
    """
    _check_count("output", request.outputs)
    for output in request.outputs:
        with about(f"output {shown(output.name)}"):
            refuse_shared_memory(output.parameters)
            if "classification" in output.parameters:
                raise OipError("there is no classification here; ask for the tensor itself")
    names = [output.name for output in request.outputs]
    _check_names("output", names)
    return names


def refuse_shared_memory(parameters: Iterable[str]) -> None:
    """
    Raises:
        OipError: these parameters of a tensor say that it is in shared memory.
    """
    if _SHARED in parameters:
        raise OipError("shared memory is not supported; send the data itself")


def _arrays(kind: str, tensors: Sequence[Any], raw: Sequence[bytes]) -> dict[str, Array]:
    _check_count(kind, tensors)
    _check_names(kind, [tensor.name for tensor in tensors])
    if raw and len(raw) != len(tensors):
        raise OipError(f"there are {len(tensors)} {kind}s and {len(raw)} raw contents")
    arrays = {}
    for index, tensor in enumerate(tensors):
        with about(f"{kind} {shown(tensor.name)}"):
            refuse_shared_memory(tensor.parameters)
            arrays[tensor.name] = _raw(tensor, raw[index]) if raw else _typed(tensor)
    return arrays


def _check_count(kind: str, tensors: Sequence[Any]) -> None:
    if len(tensors) > MAX_TENSORS:
        raise OipError(f"there are {len(tensors)} {kind}s, more than {MAX_TENSORS}")


def _check_names(kind: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not name:
            raise OipError(f"an {kind} has no name")
        if name in seen:
            raise OipError(f"the {kind} {shown(name)} is there twice")
        seen.add(name)


def _raw(tensor: Any, raw: bytes) -> Array:
    if tensor.contents.ListFields():
        raise OipError("it has contents of its own beside raw contents")
    return dtypes.unpack(raw, dtypes.find(tensor.datatype), tensor.shape)


def _typed(tensor: Any) -> Array:
    datatype, elements = dtypes.find(tensor.datatype), dtypes.count(tensor.shape)
    for field, _ in tensor.contents.ListFields():
        if field.name != datatype.contents:
            wanted = datatype.contents or "raw contents"
            raise OipError(f"{datatype.name} comes in {wanted}, not in {field.name}")
    values = getattr(tensor.contents, datatype.contents) if datatype.contents else ()
    if len(values) != elements:
        raise OipError(f"the shape {list(tensor.shape)} has {elements} elements, the contents {len(values)}")
    if datatype.name == "BYTES":
        return dtypes.bytes_array(list(values), tensor.shape)
    return _narrow(values, datatype).reshape(tuple(tensor.shape))


def _narrow(values: Sequence[Any], datatype: Datatype) -> Array:
    """Values of a field, which may be wider than the datatype."""
    if datatype.dtype.kind not in "iu":
        return np.fromiter(values, datatype.dtype, len(values))
    wide = np.fromiter(values, np.uint64 if datatype.dtype.kind == "u" else np.int64, len(values))
    limits = np.iinfo(datatype.dtype)
    if wide.size and not (limits.min <= int(wide.min()) and int(wide.max()) <= limits.max):
        raise OipError(f"a number is beyond {datatype.name}")
    return wide.astype(datatype.dtype)


def request(
    model: str,
    arrays: Mapping[str, Array],
    datatypes: Mapping[str, str] | None = None,
    outputs: Sequence[str] = (),
    request_id: str = "",
) -> Any:
    """The ModelInferRequest that asks `model`, with raw contents.

    Args:
        datatypes: of arrays whose dtype does not say it, which is BF16 only.
        outputs: those to be answered; empty: all.

    Raises:
        OipError: an array has no datatype.
    """
    message = messages.ModelInferRequest(model_name=model, id=request_id)
    _add(message.inputs, message.raw_input_contents, arrays, datatypes or {})
    for name in outputs:
        message.outputs.add(name=name)
    return message


def response(
    model: str,
    version: str,
    arrays: Mapping[str, Array],
    datatypes: Mapping[str, str] | None = None,
    request_id: str = "",
) -> Any:
    """The ModelInferResponse with these outputs, as `request` is made.

    Raises:
        OipError: an array has no datatype.
    """
    message = messages.ModelInferResponse(model_name=model, model_version=version, id=request_id)
    _add(message.outputs, message.raw_output_contents, arrays, datatypes or {})
    return message


def _add(tensors: Any, raw: Any, arrays: Mapping[str, Array], datatypes: Mapping[str, str]) -> None:
    for name, array in arrays.items():
        with about(name):
            datatype = dtypes.find(datatypes[name]) if name in datatypes else dtypes.of(array)
            raw.append(dtypes.pack(array, datatype))
        tensors.add(name=name, datatype=datatype.name, shape=array.shape)
