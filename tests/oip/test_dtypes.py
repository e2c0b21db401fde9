from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from tritonclient import utils

from tests.oip.tensors import same, tensors
from toolkit.oip import dtypes
from toolkit.oip.errors import OipError


@given(tensors())
def test_what_is_packed_is_unpacked_as_it_was(tensor: tuple[str, Any]) -> None:
    name, array = tensor
    datatype = dtypes.find(name)
    assert same(dtypes.unpack(dtypes.pack(array, datatype), datatype, array.shape), array)


@pytest.mark.parametrize("name", sorted(dtypes.DATATYPES))
def test_every_datatype_is_that_of_triton(name: str) -> None:
    datatype = dtypes.find(name)
    assert datatype.dtype == np.dtype(utils.triton_to_np_dtype(name))
    if name != "BF16":
        assert dtypes.of(np.zeros(1, datatype.dtype)) is datatype
        assert utils.np_to_triton_dtype(datatype.dtype) == name


def test_bytes_and_bf16_are_written_as_triton_writes_them() -> None:
    texts = np.array([b"\x00a\x00", "中".encode(), b""], object)
    assert dtypes.pack(texts, dtypes.find("BYTES")) == utils.serialize_byte_tensor(texts).item()
    numbers = np.array([1.0, -0.1, 3.4e38, np.inf, 1e-40], np.float32)
    assert dtypes.pack(numbers, dtypes.find("BF16")) == utils.serialize_bf16_tensor(numbers).item()


def test_a_nan_stays_one_though_its_bits_are_in_the_half_that_bf16_drops() -> None:
    nan = np.array([0x7F800001], np.uint32).view(np.float32)
    packed = dtypes.pack(nan, dtypes.find("BF16"))
    assert np.isnan(dtypes.unpack(packed, dtypes.find("BF16"), [1])).all()


def test_numbers_are_little_endian_whatever_the_array_is() -> None:
    array = np.array([1, 2], ">i4")
    assert dtypes.of(array).name == "INT32"
    assert dtypes.pack(array, dtypes.of(array)) == struct.pack("<ii", 1, 2)


def test_a_transposed_array_is_written_row_after_row() -> None:
    array = np.arange(6, dtype=np.int8).reshape(2, 3).T
    assert dtypes.pack(array, dtypes.of(array)) == bytes([0, 3, 1, 4, 2, 5])


@pytest.mark.parametrize(
    ("datatype", "raw", "shape", "message"),
    [
        ("FP32", b"1234567", [2], "FP32 of shape [2] has 8 bytes, not 7"),
        ("FP32", b"", [1], "has 4 bytes, not 0"),
        ("FP32", b"", [-1], "negative"),
        ("FP32", b"", [-1, -4], "negative"),
        ("FP32", b"", [2**62, 4], "too large"),
        ("FP32", b"", [2**40], "has 4398046511104 bytes, not 0"),
        ("FP32", b"", [0, 2**62, 2**62], "too large"),
        ("FP32", b"", [1] * 33, "33 dimensions"),
        ("BOOL", b"\x01\x02", [2], "neither 0 nor 1"),
        ("BYTES", b"", [2**40], "cannot hold"),
        ("BYTES", b"\x01\x00\x00", [0], "3 bytes are left over"),
        ("BYTES", b"\x05\x00\x00\x00abc", [1], "beyond the end"),
        ("BYTES", b"\xff\xff\xff\xff", [1], "beyond the end"),
        ("BYTES", b"\x01\x00\x00\x00abcd", [2], "within the length"),
        ("BYTES", b"\x01\x00\x00\x00ab", [1], "1 bytes are left over"),
    ],
)
def test_raw_contents_that_do_not_fit_are_refused(
    datatype: str, raw: bytes, shape: list[int], message: str
) -> None:
    with pytest.raises(OipError) as caught:
        dtypes.unpack(raw, dtypes.find(datatype), shape)
    assert message in str(caught.value)


@pytest.mark.parametrize("array", [np.zeros(1, complex), np.array(["2024"], "datetime64[Y]")])
def test_an_array_without_a_datatype_is_refused(array: Any) -> None:
    with pytest.raises(OipError, match="no datatype"):
        dtypes.of(array)


def test_objects_that_are_no_bytes_are_refused_not_pickled() -> None:
    with pytest.raises(OipError, match="is a dict"):
        dtypes.pack(np.array([{}], object), dtypes.find("BYTES"))
