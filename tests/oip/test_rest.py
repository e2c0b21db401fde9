from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient import http as triton

from tests.oip.tensors import same, tensors
from toolkit.oip import codec, rest
from toolkit.oip.errors import OipError

ONE = {"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2.5]}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
MEMBERS = {
    "name": st.sampled_from(["x", "y", ""]) | JSON,
    "shape": st.lists(st.integers(-2, 5), max_size=3) | JSON,
    "datatype": st.sampled_from(["FP32", "INT8", "BOOL", "BYTES", "BF16", "X"]) | JSON,
    "data": st.lists(st.integers(-200, 300) | st.floats() | st.text(max_size=2), max_size=6) | JSON,
    "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": st.integers(-2, 20)}) | JSON,
}
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(st.fixed_dictionaries({}, optional=MEMBERS), max_size=3) | JSON},
    optional={
        "outputs": st.lists(st.fixed_dictionaries({}, optional=MEMBERS), max_size=3) | JSON,
        "id": JSON,
    },
)


def parse(*inputs: Any, tail: bytes = b"", header: str | None = None, **members: Any) -> rest.Call:
    text = json.dumps({"inputs": list(inputs), **members}).encode()
    return rest.parse(text + tail, header if header is not None or not tail else str(len(text)), "m", "1")


def refused(message: str, *args: Any, **members: Any) -> None:
    with pytest.raises(OipError) as caught:
        parse(*args, **members)
    assert message in str(caught.value)


def tensor(name: str, array: Any, binary: bool) -> Any:
    item = triton.InferInput("x", list(array.shape), name)
    item.set_data_from_numpy(array, binary_data=binary)
    return item


def is_plain(array: Any) -> bool:
    """Whether JSON can carry it."""
    if array.dtype == object:
        return all(item.isascii() for item in array.ravel().tolist())
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


@given(tensors(), st.booleans())
def test_what_tritonclient_sends_is_read_as_it_was(sent: tuple[str, Any], binary: bool) -> None:
    name, array = sent
    # Triton's client has it that BF16 is sent as binary data only.
    binary = binary or name == "BF16" or not is_plain(array)
    body, size = triton.InferenceServerClient.generate_request_body([tensor(name, array, binary)])
    call = rest.parse(body, None if size is None else str(size), "m")
    assert same(codec.inputs(call.request)["x"], array)
    assert call.texts == (frozenset() if binary else {"x"})


@given(st.lists(tensors(), max_size=3), st.lists(st.booleans(), min_size=3, max_size=3))
def test_what_is_rendered_is_read_by_tritonclient_as_it_was(items: list[Any], binary: list[bool]) -> None:
    arrays = {str(index): array for index, (_, array) in enumerate(items)}
    datatypes = {str(index): name for index, (name, _) in enumerate(items)}
    outputs = [
        {"name": name, "parameters": {"binary_data": binary[int(name)] or not is_plain(array)}}
        for name, array in arrays.items()
    ]
    content = rest.render(
        parse(ONE, outputs=outputs).request, codec.response("m", "1", arrays, datatypes, "7")
    )
    size = content.json_size
    result = triton.InferResult.from_response_body(content.body, header_length=size)
    for name, array in arrays.items():
        found = result.as_numpy(name)
        if array.dtype == object:
            items = [item if isinstance(item, bytes) else item.encode() for item in found.ravel().tolist()]
            assert items == array.ravel().tolist()
        else:
            assert same(found.astype(array.dtype), array)


@given(REQUESTS, st.binary(max_size=20), st.none() | st.integers(0, 300).map(str) | st.text(max_size=3))
def test_no_json_makes_anything_but_a_clear_error(data: Any, tail: bytes, header: str | None) -> None:
    text = json.dumps(data).encode()
    for length in (header, str(len(text))):
        with contextlib.suppress(OipError):
            codec.inputs(rest.parse(text + tail, length, "m").request)


def test_nested_data_is_read_row_after_row() -> None:
    item = {"name": "x", "shape": [2, 1, 3], "datatype": "INT64", "data": [[[1, 2, 3]], [[4, 5, 6]]]}
    array = codec.inputs(parse(item).request)["x"]
    assert array.tolist() == item["data"]


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ([2, 2], [[1, 2], [3]]),
        ([2, 2], [[1, 2, 3], [4]]),
        ([2, 2], [[1, 2], 3, 4]),
        ([2, 2], [1, 2, 3, [4]]),
        ([2, 2], [[[1, 2], [3, 4]]]),
        ([4], [[1, 2, 3, 4]]),
        ([1], [[[[[1]]]]]),
        ([2, 0], [[]]),
        ([0, 3], [[], []]),
        ([], [[1]]),
        ([1], 1),
        ([1], None),
        ([1], {"0": 1}),
    ],
)
def test_data_that_is_nested_another_way_is_refused(shape: list[int], data: Any) -> None:
    refused("input 'x': ", {"name": "x", "shape": shape, "datatype": "INT8", "data": data})


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("INT8", 128),
        ("INT8", -129),
        ("UINT64", -1),
        ("UINT64", 2**64),
        ("INT32", 1.0),
        ("INT32", True),
        ("INT32", "1"),
        ("BOOL", 1),
        ("FP32", "1.5"),
        ("FP32", None),
        ("FP32", True),
        ("FP32", 1e39),
        ("FP16", 70000),
        ("FP64", "nan"),
        ("BYTES", 5),
        ("BYTES", None),
        ("BYTES", "\ud800"),
    ],
)
def test_an_element_that_the_datatype_has_not_is_refused(datatype: str, value: Any) -> None:
    refused("input 'x': ", {"name": "x", "shape": [1], "datatype": datatype, "data": [value]})


@pytest.mark.parametrize(
    "number",
    ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", pytest.param("9" * 1_000_000, id="a million digits")],
)
@pytest.mark.parametrize("parse_int", [None, rest._integer])
def test_numbers_that_json_has_not_are_refused_at_once(
    number: str, parse_int: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "_PARSE_INT", parse_int)
    text = json.dumps({"inputs": [{**ONE, "shape": [1], "data": [0]}]}).replace("[0]", f"[{number}]")
    with pytest.raises(OipError):
        rest.parse(text.encode(), None, "m")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": [3]}, "has 3 elements, the data 2"),
        ({"shape": [-1]}, "negative"),
        ({"shape": [-1, -2]}, "negative"),
        ({"shape": [2**62, 2**62]}, "too large"),
        ({"shape": [2**64]}, "too large"),
        ({"shape": [10**12]}, "has 1000000000000 elements"),
        ({"shape": [0, 2**62, 2**62], "data": []}, "too large"),
        ({"shape": [1] * 40}, "40 dimensions"),
        ({"shape": [2.0]}, "not a list of whole numbers"),
        ({"shape": [True, 2]}, "not a list of whole numbers"),
        ({"shape": "2"}, "not a list of whole numbers"),
        ({"shape": None}, "not a list of whole numbers"),
        ({"datatype": "FLOAT"}, "'FLOAT' is unknown"),
        ({"datatype": "fp32"}, "'fp32' is unknown"),
        ({"datatype": 5}, "datatype is missing or not a text"),
        ({"name": 5}, "name of an input is missing"),
        ({"name": "\ud800"}, "surrogate"),
        ({"parameters": [1]}, "parameters is not an object"),
        ({"parameters": {"a": None}}, "'a' is neither"),
        ({"parameters": {"a": {}}}, "'a' is neither"),
        ({"parameters": {"shared_memory_region": "x"}}, "shared memory is not supported"),
        ({"parameters": {"binary_data_size": 8}}, "both data and binary_data_size"),
    ],
)
def test_an_input_that_is_wrong_is_refused(change: dict[str, Any], message: str) -> None:
    refused(message, {**ONE, **change})


def test_more_values_than_are_read_in_a_moment_are_refused_in_one() -> None:
    body = b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[' + b"[]," * 3_000_000 + b"[]]}]}"
    began = time.process_time()
    with pytest.raises(OipError, match="as binary data"):
        rest.parse(body, None, "m")
    assert time.process_time() - began < 0.5


def test_more_values_than_are_written_in_a_moment_come_as_binary_data_only() -> None:
    response = codec.response("m", "1", {"y": np.zeros((3, 1000, 1000), np.float32)})
    began = time.process_time()
    with pytest.raises(OipError, match=r"3000000 values.* binary data"):
        rest.render(parse(ONE).request, response)
    assert time.process_time() - began < 0.5
    asked = parse(ONE, parameters={"binary_data_output": True}).request
    assert len(rest.render(asked, response).body) > 12_000_000


def test_more_tensors_than_any_model_has_are_refused_as_a_whole() -> None:
    refused("there are 1001 inputs", *[{**ONE, "name": str(n)} for n in range(1001)])
    refused("there are 1001 outputs", ONE, outputs=[{"name": str(n)} for n in range(1001)])


def test_names_are_there_once() -> None:
    refused("input 'x' is there twice", ONE, ONE)
    refused("output 'y' is there twice", ONE, outputs=[{"name": "y"}, {"name": "y"}])


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"inputs": []}, "no inputs"),
        ({"inputs": {}}, "inputs is not a list"),
        ({"inputs": [5]}, "inputs is not a list of objects"),
        ({"outputs": [5]}, "outputs is not a list of objects"),
        ({"outputs": [{}]}, "name of an output"),
        ({"outputs": [{"name": "y", "parameters": {"binary_data": 1}}]}, "neither true nor false"),
        ({"outputs": [{"name": "y", "parameters": {"classification": 3}}]}, "no classification"),
        ({"parameters": {"binary_data_output": "yes"}}, "neither true nor false"),
        ({"parameters": {"a": 2**64}}, "number of 64 bits"),
        ({"id": 5}, "id is missing or not a text"),
    ],
)
def test_a_request_that_is_wrong_is_refused(members: dict[str, Any], message: str) -> None:
    with pytest.raises(OipError) as caught:
        rest.parse(json.dumps({"inputs": [ONE], **members}).encode(), None, "m")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe{}",
        b"[]",
        b"5",
        pytest.param(b"[" * 100_000, id="deep"),
        '{"inputs": []}'.encode("utf-16"),
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(OipError, match="the request"):
        rest.parse(body, None, "m")


BYTES_IN = {"name": "x", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 6}}
RAW = b"\x02\x00\x00\x00hi"


def test_binary_data_is_taken_in_the_order_of_the_inputs() -> None:
    first = {
        "name": "a",
        "shape": [2],
        "datatype": "UINT8",
        "parameters": {"binary_data_size": 2, "unit": "dB"},
    }
    call = parse(first, ONE, BYTES_IN | {"name": "b"}, tail=b"\x07\x08" + RAW)
    arrays = codec.inputs(call.request)
    assert (arrays["a"].tolist(), arrays["b"].tolist(), arrays["x"].tolist()) == ([7, 8], [b"hi"], [1, 2.5])
    assert call.texts == {"x"}
    assert dict(call.request.inputs[0].parameters).keys() == {"unit"}


@pytest.mark.parametrize(
    ("size", "tail", "header", "message"),
    [
        (6, RAW, "1000", "the body has"),
        (6, RAW, "-1", "not a whole number"),
        (6, RAW, "+9", "not a whole number"),
        (6, RAW, "", "not a whole number"),
        (6, RAW, "²", "not a whole number"),
        (6, RAW, "9" * 50, "not a whole number"),
        (6, RAW, "5", "not JSON"),
        (6, RAW, "0", "not JSON"),
        (7, RAW, None, "6 bytes are left"),
        (10**18, RAW, None, "6 bytes are left"),
        (5, RAW, None, "beyond the end"),
        (6, RAW + b"!", None, "last 1 bytes of the body"),
        (-1, RAW, None, "not a whole number of bytes"),
        (6.0, RAW, None, "not a whole number of bytes"),
        (True, RAW, None, "not a whole number of bytes"),
        ("6", RAW, None, "not a whole number of bytes"),
        (6, b"", None, "0 bytes are left"),
    ],
)
def test_binary_data_that_does_not_fit_is_refused(
    size: Any, tail: bytes, header: str | None, message: str
) -> None:
    refused(message, {**BYTES_IN, "parameters": {"binary_data_size": size}}, tail=tail, header=header)


def test_an_input_without_any_data_is_refused() -> None:
    refused("neither data nor", {"name": "x", "shape": [0], "datatype": "FP32"})


RESPONSE = codec.response(
    "m", "1", {"a": np.array([1.5], np.float32), "b": np.array([b"z"], object)}, None, "7"
)


def test_without_a_wish_the_answer_is_json() -> None:
    content = rest.render(parse(ONE).request, RESPONSE)
    assert content.json_size is None
    assert json.loads(content.body) == {
        "model_name": "m",
        "model_version": "1",
        "id": "7",
        "outputs": [
            {"name": "a", "datatype": "FP32", "shape": [1], "data": [1.5]},
            {"name": "b", "datatype": "BYTES", "shape": [1], "data": ["z"]},
        ],
    }


@pytest.mark.parametrize(
    ("every", "single", "expected"),
    [(True, {}, "ab"), (True, {"a": False}, "b"), (False, {"a": True}, "a"), (None, {"b": True}, "b")],
)
def test_each_output_comes_the_way_it_is_asked_for(
    every: bool | None, single: dict[str, bool], expected: str
) -> None:
    outputs = [{"name": name, "parameters": {"binary_data": flag}} for name, flag in single.items()]
    parameters = {} if every is None else {"binary_data_output": every}
    content = rest.render(parse(ONE, outputs=outputs, parameters=parameters).request, RESPONSE)
    data = json.loads(content.body[: content.json_size])
    assert "".join(item["name"] for item in data["outputs"] if "data" not in item) == expected
    sizes = [item.get("parameters", {}).get("binary_data_size", 0) for item in data["outputs"]]
    assert len(content.body) == (content.json_size or 0) + sum(sizes)


@pytest.mark.parametrize(
    "array", [np.array([np.nan]), np.array([np.inf], np.float32), np.array([b"\xff"], object)]
)
def test_what_json_cannot_carry_is_an_error_that_says_how_it_comes(array: Any) -> None:
    response = codec.response("m", "1", {"y": array})
    with pytest.raises(OipError, match=r"output 'y': .* binary data"):
        rest.render(parse(ONE).request, response)
    asked = parse(ONE, parameters={"binary_data_output": True}).request
    assert rest.render(asked, response).json_size is not None


@pytest.mark.parametrize("place", ["inputs", "outputs", "request"])
def test_half_of_a_surrogate_pair_in_a_parameters_name_is_refused(place: str) -> None:
    parameters = {"parameters": {"bin\ud800": True}}
    body: dict[str, Any] = {"inputs": [dict(ONE)], "outputs": [{"name": "y"}]}
    target = body if place == "request" else body[place][0]
    target.update(parameters)
    with pytest.raises(OipError, match="surrogate"):
        rest.parse(json.dumps(body).encode(), None, "m")
