"""The `data` of a tensor in JSON: a list of numbers, truth values or texts, flat or nested."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from toolkit.oip import dtypes
from toolkit.oip.dtypes import Array, Datatype
from toolkit.oip.errors import OipError

# What an element may be, by the kind of the array's dtype. In Python, True is an int too; in JSON it is not.
_TYPES: dict[str, tuple[frozenset[type], str]] = {
    "b": (frozenset({bool}), "true or false"),
    "i": (frozenset({int}), "a whole number"),
    "u": (frozenset({int}), "a whole number"),
    "f": (frozenset({int, float}), "a number"),
    "O": (frozenset({str}), "a text"),
}


def from_json(data: Any, datatype: Datatype, shape: Sequence[int]) -> Array:
    """The array that `data` stands for.

    Raises:
        OipError: it has not the shape or the elements that it should have.
    """
    elements = dtypes.count(shape)
    flat = _flatten(data, shape)
    if len(flat) != elements:
        raise OipError(f"the shape {list(shape)} has {elements} elements, the data {len(flat)}")
    allowed, wanted = _TYPES[datatype.dtype.kind]
    if not set(map(type, flat)) <= allowed:
        raise OipError(f"an element of {datatype.name} is not {wanted}")
    if datatype.name == "BYTES":
        return dtypes.bytes_array(_encode(flat), shape)
    return _numbers(flat, datatype).reshape(tuple(shape))


def _flatten(data: Any, shape: Sequence[int]) -> list[Any]:
    """Level by level, as deep as the shape is; what is nested must be so throughout."""
    if not isinstance(data, list):
        raise OipError("the data is not a list")
    flat: list[Any] = data
    if _nested(flat) and shape and len(flat) != shape[0]:
        raise _not_nested(shape)
    for side in shape[1:]:
        if not _nested(flat):
            break
        if any(not isinstance(item, list) or len(item) != side for item in flat):
            raise _not_nested(shape)
        flat = list(chain.from_iterable(flat))
    return flat


def _nested(data: list[Any]) -> bool:
    return bool(data) and isinstance(data[0], list)


def _not_nested(shape: Sequence[int]) -> OipError:
    return OipError(f"the lists of the data are not nested as the shape {list(shape)} says")


def _encode(texts: Sequence[str]) -> list[bytes]:
    try:
        return [text.encode("utf-8") for text in texts]
    except UnicodeEncodeError as error:
        raise OipError("a text of the data is not Unicode: it has half of a surrogate pair") from error


def _numbers(flat: list[Any], datatype: Datatype) -> Array:
    dtype = datatype.dtype
    if dtype.kind in "iu" and flat:
        limits = np.iinfo(dtype)
        if min(flat) < limits.min or max(flat) > limits.max:
            raise OipError(f"a number of the data is beyond {datatype.name}")
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, dtype)
    except OverflowError as error:
        raise OipError(f"a number of the data is beyond {datatype.name}") from error
    # JSON has no such numbers, but 1e999 is read as one.
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise OipError(f"a number of the data is beyond {datatype.name}")
    return array


def to_json(array: Array, datatype: Datatype) -> list[Any]:
    """The elements of an array, row after row.

    Raises:
        OipError: an element cannot be written in JSON.
    """
    if datatype.name == "BYTES":
        try:
            return [element.decode("utf-8") for element in array.ravel().tolist()]
        except UnicodeDecodeError as error:
            raise OipError("the data is not UTF-8 text; ask for it as binary data") from error
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise OipError("JSON has no NaN and no infinity; ask for the data as binary data")
    values: list[Any] = array.ravel().tolist()
    return values
