"""The datatypes of the protocol: what they are in numpy, and how a tensor of each is written as bytes."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.oip.errors import OipError, shown

Array = np.ndarray[Any, Any]

# numpy's own limits: dimensions of an array, and bytes that an array of no element may pretend to have.
MAX_RANK = 32
_MAX_ELEMENTS = 2**48

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Datatype:
    """
    Attributes:
        name: as requests have it.
        dtype: of the array. BF16, which numpy has not, is float32; BYTES is object, its elements `bytes`.
        wire: of an element in raw contents, little-endian; None: a length of 4 bytes before each element.
        contents: the field of InferTensorContents that typed contents are in; empty: only raw ones are allowed.
    """

    name: str
    dtype: np.dtype[Any]
    wire: np.dtype[Any] | None
    contents: str


def _datatype(name: str, dtype: str, wire: str | None, contents: str) -> Datatype:
    return Datatype(name, np.dtype(dtype), None if wire is None else np.dtype(wire), contents)


DATATYPES = {
    item.name: item
    for item in (
        _datatype("BOOL", "bool", "u1", "bool_contents"),
        _datatype("UINT8", "uint8", "u1", "uint_contents"),
        _datatype("UINT16", "uint16", "<u2", "uint_contents"),
        _datatype("UINT32", "uint32", "<u4", "uint_contents"),
        _datatype("UINT64", "uint64", "<u8", "uint64_contents"),
        _datatype("INT8", "int8", "i1", "int_contents"),
        _datatype("INT16", "int16", "<i2", "int_contents"),
        _datatype("INT32", "int32", "<i4", "int_contents"),
        _datatype("INT64", "int64", "<i8", "int64_contents"),
        _datatype("FP16", "float16", "<f2", ""),
        _datatype("FP32", "float32", "<f4", "fp32_contents"),
        _datatype("FP64", "float64", "<f8", "fp64_contents"),
        _datatype("BF16", "float32", "<u2", ""),
        _datatype("BYTES", "object", None, "bytes_contents"),
    )
}

# BF16 is what float32 is asked to be, never what it is by itself.
_BY_DTYPE = {item.dtype: item for item in DATATYPES.values() if item.name != "BF16"}


def find(name: str) -> Datatype:
    """The datatype of that name.

    Raises:
        OipError: there is none.
    """
    if name not in DATATYPES:
        raise OipError(f"the datatype {shown(name)} is unknown; there are {', '.join(DATATYPES)}")
    return DATATYPES[name]


def of(array: Array) -> Datatype:
    """The datatype that an array is sent as.

    Raises:
        OipError: there is none for its dtype.
    """
    if array.dtype.kind in "SU":
        return DATATYPES["BYTES"]
    found = _BY_DTYPE.get(array.dtype.newbyteorder("="))
    if found is None:
        raise OipError(f"there is no datatype for numpy's {array.dtype}")
    return found


def count(shape: Sequence[int]) -> int:
    """How many elements a tensor of that shape has; nothing is made of them, so a shape may well be a lie.

    Raises:
        OipError: it is no shape.
    """
    if len(shape) > MAX_RANK:
        raise OipError(f"the shape has {len(shape)} dimensions, more than {MAX_RANK}")
    if any(side < 0 for side in shape):
        raise OipError(f"the shape {list(shape)} has a negative dimension")
    # Beside a zero the others count for nothing, but numpy multiplies them.
    if math.prod(side for side in shape if side) > _MAX_ELEMENTS:
        raise OipError(f"the shape {list(shape)} is too large")
    return math.prod(shape)


def pack(array: Array, datatype: Datatype) -> bytes:
    """An array, of the datatype's dtype, as raw contents.

    Raises:
        OipError: an element of BYTES is neither bytes nor text, or is too long.
    """
    if datatype.wire is None:
        return b"".join(_prefixed(array))
    array = np.ascontiguousarray(array, datatype.dtype)
    if datatype.name == "BF16":
        array = _to_bfloat16(array)
    return array.astype(datatype.wire, copy=False).tobytes()


def _prefixed(array: Array) -> Iterator[bytes]:
    for item in array.ravel().tolist():
        element = item.encode("utf-8") if isinstance(item, str) else item
        if not isinstance(element, bytes):
            raise OipError(f"an element of BYTES is a {type(item).__name__}")
        if len(element) >= 2**32:
            raise OipError("an element of BYTES has 4 GB or more")
        yield _LENGTH.pack(len(element))
        yield element


def unpack(raw: bytes, datatype: Datatype, shape: Sequence[int]) -> Array:
    """Raw contents as an array, which may share the memory of `raw` and be read-only.

    Raises:
        OipError: they are not what the shape and the datatype say.
    """
    elements = count(shape)
    if datatype.wire is None:
        return bytes_array(_split(raw, elements), shape)
    if len(raw) != elements * datatype.wire.itemsize:
        raise OipError(
            f"{datatype.name} of shape {list(shape)} has {elements * datatype.wire.itemsize} bytes, not {len(raw)}"
        )
    array: Array = np.frombuffer(raw, datatype.wire)
    if datatype.name == "BOOL":
        if array.size and array.max() > 1:
            raise OipError("a byte of BOOL is neither 0 nor 1")
        array = array.view(np.bool_)
    elif datatype.name == "BF16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(datatype.dtype, copy=False).reshape(tuple(shape))


def bytes_array(elements: Sequence[bytes], shape: Sequence[int]) -> Array:
    """An array of BYTES; there are as many elements as the shape says."""
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(tuple(shape))


def _split(raw: bytes, elements: int) -> list[bytes]:
    if elements * _LENGTH.size > len(raw):
        raise OipError(f"{len(raw)} bytes cannot hold {elements} elements of BYTES")
    found, offset = [], 0
    for _ in range(elements):
        if offset + _LENGTH.size > len(raw):
            raise OipError("the data ends within the length of an element")
        (length,) = _LENGTH.unpack_from(raw, offset)
        offset += _LENGTH.size
        if offset + length > len(raw):
            raise OipError(f"an element of {length} bytes goes beyond the end of the data")
        found.append(raw[offset : offset + length])
        offset += length
    if offset != len(raw):
        raise OipError(f"{len(raw) - offset} bytes are left over behind the last element")
    return found


def _to_bfloat16(array: Array) -> Array:
    """The upper halves, as clients have it: numbers are cut off, not rounded. A NaN stays one."""
    bits = array.view(np.uint32)
    upper = (bits >> 16).astype(np.uint16)
    return np.where(np.isnan(array), upper | np.uint16(0x40), upper).astype(np.uint16)
