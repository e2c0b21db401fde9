from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oip.tensors import same, tensors
from toolkit.oip import codec, dtypes, messages
from toolkit.oip.errors import OipError


def typed(name: str, array: Any) -> Any:
    """A request with typed contents."""
    request = messages.ModelInferRequest(model_name="m")
    tensor = request.inputs.add(name="x", datatype=name, shape=array.shape)
    getattr(tensor.contents, dtypes.find(name).contents).extend(array.ravel().tolist())
    return request


@given(st.lists(tensors(), min_size=1, max_size=3))
def test_arrays_come_out_of_a_request_as_they_went_in(items: list[tuple[str, Any]]) -> None:
    arrays = {str(index): array for index, (_, array) in enumerate(items)}
    datatypes = {str(index): name for index, (name, _) in enumerate(items)}
    for message, read in (
        (codec.request("m", arrays, datatypes), codec.inputs),
        (codec.response("m", "1", arrays, datatypes), codec.outputs),
    ):
        found = read(type(message).FromString(message.SerializeToString()))
        assert list(found) == list(arrays)
        assert all(same(found[name], array) for name, array in arrays.items())


@given(tensors())
def test_typed_contents_are_read_as_raw_ones(tensor: tuple[str, Any]) -> None:
    name, array = tensor
    if dtypes.find(name).contents:
        assert same(codec.inputs(typed(name, array))["x"], array)


@pytest.mark.filterwarnings("ignore:Unexpected end-group tag")
@given(st.binary(max_size=200))
def test_no_bytes_at_all_make_anything_but_a_clear_error(data: bytes) -> None:
    try:
        request = messages.ModelInferRequest.FromString(data)
    except Exception:
        return
    try:
        codec.inputs(request)
        codec.requested(request)
    except OipError:
        pass


def refused(request: Any, message: str) -> None:
    with pytest.raises(OipError) as caught:
        codec.inputs(request)
    assert message in str(caught.value)


def test_an_error_names_the_input_that_it_is_about() -> None:
    request = codec.request("m", {"a": np.zeros(1, np.int8), "b": np.zeros(2, np.int8)})
    request.raw_input_contents[1] = b"123"
    refused(request, "input 'b': INT8 of shape [2] has 2 bytes, not 3")


def test_a_name_as_long_as_a_request_is_not_quoted_in_full() -> None:
    request = codec.request("m", {"x" * 100_000: np.zeros(1, np.int8)})
    request.raw_input_contents[0] = b""
    with pytest.raises(OipError) as caught:
        codec.inputs(request)
    assert len(str(caught.value)) < 300


def test_raw_contents_are_for_all_inputs_or_for_none() -> None:
    request = codec.request("m", {"a": np.zeros(1, np.int8), "b": np.zeros(1, np.int8)})
    del request.raw_input_contents[1]
    refused(request, "2 inputs and 1 raw contents")


def test_raw_and_typed_contents_of_one_input_are_refused() -> None:
    request = typed("INT32", np.zeros(1, np.int32))
    request.raw_input_contents.append(bytes(4))
    refused(request, "contents of its own beside raw contents")


@pytest.mark.parametrize(
    ("datatype", "field", "values", "message"),
    [
        ("FP32", "fp64_contents", [1.0], "FP32 comes in fp32_contents, not in fp64_contents"),
        ("FP16", "fp32_contents", [1.0], "FP16 comes in raw contents"),
        ("FP16", "fp32_contents", [], "the contents 0"),
        ("FP32", "fp32_contents", [1.0, 2.0], "has 1 elements, the contents 2"),
        ("INT8", "int_contents", [128], "beyond INT8"),
        ("UINT16", "uint_contents", [65536], "beyond UINT16"),
        ("FLOAT", "fp32_contents", [1.0], "'FLOAT' is unknown"),
        ("", "fp32_contents", [1.0], "'' is unknown"),
    ],
)
def test_typed_contents_that_do_not_fit_are_refused(
    datatype: str, field: str, values: list[Any], message: str
) -> None:
    request = messages.ModelInferRequest()
    tensor = request.inputs.add(name="x", datatype=datatype, shape=[1])
    getattr(tensor.contents, field).extend(values)
    refused(request, message)


@pytest.mark.parametrize("raw", [True, False])
def test_a_shape_that_no_memory_could_hold_is_refused_before_any_is_taken(raw: bool) -> None:
    request = typed("FP64", np.zeros(1))
    request.inputs[0].shape[:] = [2**31, 2**31, 2**31]
    if raw:
        request.inputs[0].ClearField("contents")
        request.raw_input_contents.append(bytes(8))
    refused(request, "too large")


def test_names_are_there_and_there_once() -> None:
    request = typed("INT8", np.zeros(1, np.int8))
    request.inputs.append(request.inputs[0])
    refused(request, "'x' is there twice")
    request = typed("INT8", np.zeros(1, np.int8))
    request.inputs[0].name = ""
    refused(request, "has no name")


def test_more_tensors_than_any_model_has_are_refused_before_one_is_looked_at() -> None:
    request = typed("INT8", np.zeros(1, np.int8))
    for _ in range(1001):
        request.inputs.add()
        request.outputs.add()
    refused(request, "there are 1002 inputs, more than 1000")
    with pytest.raises(OipError, match="there are 1001 outputs, more than 1000"):
        codec.requested(request)


def test_shared_memory_is_refused_for_inputs_and_outputs() -> None:
    request = typed("INT8", np.zeros(1, np.int8))
    request.inputs[0].parameters["shared_memory_region"].string_param = "/dev/shm/x"
    refused(request, "shared memory is not supported")
    request = codec.request("m", {}, outputs=["y"])
    request.outputs[0].parameters["shared_memory_region"].string_param = "x"
    with pytest.raises(OipError, match="output 'y': shared memory"):
        codec.requested(request)


def test_an_output_is_asked_for_once_and_not_as_a_class() -> None:
    with pytest.raises(OipError, match="'y' is there twice"):
        codec.requested(codec.request("m", {}, outputs=["y", "y"]))
    request = codec.request("m", {}, outputs=["y"])
    request.outputs[0].parameters["classification"].int64_param = 3
    with pytest.raises(OipError, match="no classification"):
        codec.requested(request)
