"""Tensors of every datatype, for hypothesis."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from toolkit.oip.dtypes import DATATYPES, Array, bytes_array, unpack

SHAPES = st.lists(st.integers(0, 3), max_size=3)


@st.composite
def tensors(draw: Any) -> tuple[str, Array]:
    """A datatype's name and an array that may be sent as it; of floating point, every pattern of bits."""
    datatype = DATATYPES[draw(st.sampled_from(sorted(DATATYPES)))]
    shape = draw(SHAPES)
    size = int(np.prod(shape))
    if datatype.wire is None:
        elements = draw(st.lists(st.binary(max_size=5), min_size=size, max_size=size))
        return datatype.name, bytes_array(elements, shape)
    length = size * datatype.wire.itemsize
    raw = draw(st.binary(min_size=length, max_size=length))
    if datatype.name == "BOOL":
        raw = bytes(byte & 1 for byte in raw)
    return datatype.name, unpack(raw, datatype, shape)


def same(left: Array, right: Array) -> bool:
    """Whether two arrays are the same, NaN included."""
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype == object:
        return bool(left.tolist() == right.tolist())
    return np.array_equal(left, right, equal_nan=left.dtype.kind == "f")
