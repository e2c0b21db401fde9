"""Reading and writing Paddle's combined weights file: tensors in the order of their names, each with a header.

The format is that of SerializeToStream (paddle/fluid/framework/lod_tensor.cc and tensor_util.cc): version and level of
detail, version, a `TensorDesc` message with its size, and the data.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from toolkit.errors import ModelError

Weights = dict[str, "np.ndarray[Any, Any]"]

# Paddle keeps bfloat16 as the upper half of a float32: two bytes that numpy has no name for.
_NUMPY_NAMES = {
    "BOOL": "bool", "INT8": "int8", "UINT8": "uint8", "INT16": "int16", "FP16": "float16", "BF16": "uint16",
    "INT32": "int32", "FP32": "float32", "INT64": "int64", "FP64": "float64",
}  # fmt: skip


def read(path: Path, names: Sequence[str]) -> Weights:
    """The tensors in `path`, which belong to `names` in sorted order.

    Raises:
        ModelError: the file is truncated or damaged; names the parameter.
    """
    weights: Weights = {}
    with path.open("rb") as file:
        for name in sorted(names):
            with _damage(path, name):
                dtype, shape = _header(file)
                data = _exactly(file, math.prod(shape) * dtype.itemsize)
                weights[name] = np.frombuffer(data, dtype).reshape(shape).copy()
    return weights


def shapes(file: IO[bytes], path: Path, names: Sequence[str]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of each tensor in `file`, opened from `path`, in sorted order; their data is passed over.

    Raises:
        ModelError: the file is truncated or damaged; names the parameter.
    """
    for name in sorted(names):
        with _damage(path, name):
            dtype, shape = _header(file)
            # To the last byte, which must be there.
            file.seek(math.prod(shape) * dtype.itemsize - 1, 1)
            _exactly(file, 1)
        yield name, shape


def write(path: Path, weights: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write `weights` as Paddle reads them."""
    with path.open("wb") as file:
        for name in sorted(weights):
            _write_tensor(file, weights[name])


def data_type(dtype: np.dtype[Any]) -> int:
    """Paddle's number for a numpy element type."""
    from paddle.base.proto import framework_pb2

    kinds = {numpy: framework_pb2.VarType.Type.Value(paddle) for paddle, numpy in _NUMPY_NAMES.items()}
    return int(kinds[str(dtype)])


def element_type(data_type: int) -> np.dtype[Any]:
    """The numpy element type for Paddle's number."""
    from paddle.base.proto import framework_pb2

    return np.dtype(_NUMPY_NAMES[framework_pb2.VarType.Type.Name(data_type)])


@contextmanager
def _damage(path: Path, name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ModelError(
            f"the weights file is damaged or truncated, at the parameter {name}",
            where=str(path),
            remedy="copy or export the model again",
        ) from error


def _header(file: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    from paddle.base.proto import framework_pb2

    (levels,) = struct.unpack("<4xQ", _exactly(file, 12))
    for _ in range(levels):
        (size,) = struct.unpack("<Q", _exactly(file, 8))
        _exactly(file, size)
    (size,) = struct.unpack("<4xi", _exactly(file, 8))
    header = framework_pb2.VarType.TensorDesc.FromString(_exactly(file, size))
    return element_type(header.data_type), tuple(header.dims)


def _write_tensor(file: IO[bytes], array: np.ndarray[Any, Any]) -> None:
    from paddle.base.proto import framework_pb2

    header = framework_pb2.VarType.TensorDesc(data_type=data_type(array.dtype), dims=array.shape)
    described = header.SerializeToString()
    file.write(struct.pack("<IQIi", 0, 0, 0, len(described)))
    file.write(described)
    file.write(np.ascontiguousarray(array).tobytes())


def _exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size) if 0 <= size < 1 << 34 else b""
    if len(data) != size:
        raise EOFError("the file ends early")
    return data
