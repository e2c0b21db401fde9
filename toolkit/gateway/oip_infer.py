"""An inference of the Open Inference Protocol, whichever way it came: found, checked against the catalog, and done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from toolkit.gateway import intake, oip_answer
from toolkit.gateway.catalog import Catalog, ModelInfo, TensorInfo
from toolkit.gateway.deadline import Deadline
from toolkit.gateway.desk import Desk
from toolkit.gateway.faults import BadRequest, UnknownModel
from toolkit.oip import VERSION, codec, messages
from toolkit.oip.dtypes import Array
from toolkit.oip.errors import OipError, shown


def find(catalog: Catalog, name: str, version: str) -> ModelInfo:
    """What is asked for by that name and version; no version is any.

    Raises:
        UnknownModel: there is none.
    """
    info = catalog.find(name)
    if info is None:
        known = ", ".join(model.name for model in catalog.models)
        raise UnknownModel(f"no model {shown(name)} here", f"ask for one of {known}")
    if version not in ("", VERSION):
        raise UnknownModel(
            f"{name} has no version {shown(version)}", f"ask for version {VERSION}, or for none"
        )
    return info


@contextmanager
def told(model: str) -> Iterator[None]:
    """Have errors of the protocol's codec told as faults of the request.

    Raises:
        BadRequest: one was raised within.
    """
    try:
        yield
    except OipError as error:
        raise BadRequest(
            str(error), f"the metadata of {model} has the names, datatypes and shapes of its tensors"
        ) from error


async def infer(desk: Desk, request: Any, deadline: Deadline, texts: frozenset[str] = frozenset()) -> bytes:
    """A ModelInferRequest in, a serialized ModelInferResponse out.

    Args:
        texts: inputs that came as JSON, which carries no bytes: an image among them is base64, a text is itself.

    Raises:
        Fault: one of its subclasses.
    """
    info = find(desk.catalog, request.model_name, request.model_version)
    with told(info.name):
        arrays = codec.inputs(request)
        _check_inputs(request, info)
        outputs = _outputs(codec.requested(request), info)
    if info.kind == "pipeline":
        return await _pipeline(desk, request, info, arrays, outputs, deadline, texts)
    # The client's id would make one poison look like many.
    asked_id, request.id = request.id, ""
    answer = await desk.infer(request.SerializeToString(), deadline)
    return _with_id(answer, asked_id)


def _with_id(answer: bytes, request_id: str) -> bytes:
    """A serialized ModelInferResponse that has the id of the request; appended, so that nothing is decoded."""
    if not request_id:
        return answer
    return answer + bytes(messages.ModelInferResponse(id=request_id).SerializeToString())


def _check_inputs(request: Any, info: ModelInfo) -> None:
    known = {tensor.name: tensor for tensor in info.inputs}
    for tensor in request.inputs:
        if tensor.name not in known:
            raise OipError(f"{info.name} has no input {shown(tensor.name)}; it has {', '.join(known)}")
        wanted = known.pop(tensor.name)
        if tensor.datatype != wanted.datatype:
            raise OipError(f"input {tensor.name!r}: it is {wanted.datatype}, not {tensor.datatype}")
        if not _fits(tensor.shape, wanted.shape):
            raise OipError(
                f"input {tensor.name!r}: the shape is {list(tensor.shape)}, not like {list(wanted.shape)}"
            )
    if known:
        raise OipError(f"the input {next(iter(known))!r} is missing")


def _fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether the dimensions are as many, and those that do not vary the same.

    None may be zero: what an engine does with a tensor of no elements is worth no process.
    """
    return len(shape) == len(wanted) and all(
        side > 0 and fixed in (side, -1) for side, fixed in zip(shape, wanted)
    )


def _outputs(names: Sequence[str], info: ModelInfo) -> list[TensorInfo]:
    known = {tensor.name: tensor for tensor in info.outputs}
    for name in names:
        if name not in known:
            raise OipError(f"{info.name} has no output {shown(name)}; it has {', '.join(known)}")
    return [known[name] for name in names or known]


async def _pipeline(
    desk: Desk,
    request: Any,
    info: ModelInfo,
    arrays: dict[str, Array],
    outputs: Sequence[TensorInfo],
    deadline: Deadline,
    texts: frozenset[str],
) -> bytes:
    ((name, array),) = arrays.items()
    content: bytes = array.reshape(-1)[0]
    wanted = intake.of(info.accepts)
    given = wanted.from_text(content.decode("utf-8")) if name in texts else wanted.from_file(content)
    answer = await desk.predict(given, deadline)
    found = oip_answer.tensors(answer, outputs)
    datatypes = {tensor.name: tensor.datatype for tensor in outputs}
    message = codec.response(info.name, VERSION, found, datatypes, request.id)
    return bytes(message.SerializeToString())
