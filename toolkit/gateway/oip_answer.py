"""The pipeline's JSON answer as tensors: each output of the catalog says by a path where its values are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from toolkit.gateway.catalog import TensorInfo
from toolkit.gateway.faults import ReplicaFault
from toolkit.oip import dtypes
from toolkit.oip.dtypes import Array


def tensors(answer: str, outputs: Iterable[TensorInfo]) -> dict[str, Array]:
    """An array for each output. `lines.score` of n lines is one of shape [n]; n may be zero.

    Raises:
        ReplicaFault: the answer is not as the catalog says.
    """
    try:
        data = json.loads(answer)
        return {info.name: _tensor(_find(data, info.path.split(".")), info) for info in outputs}
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise ReplicaFault(
            f"the answer of the model server is not as its catalog says: {type(error).__name__}: {error}",
            "see the log of the service",
        ) from error


def _find(data: Any, keys: Sequence[str]) -> Any:
    """What is at the end of the path; from a list, of each of its items."""
    if not keys:
        return data
    if isinstance(data, list):
        return [_find(item, keys) for item in data]
    return _find(data[keys[0]], keys[1:])


def _tensor(value: Any, info: TensorInfo) -> Array:
    datatype = dtypes.DATATYPES[info.datatype]
    shape = tuple(len(value) if side < 0 else side for side in info.shape[:1]) + info.shape[1:]
    if datatype.name == "BYTES":
        texts = value if isinstance(value, list) else [value]
        return dtypes.bytes_array([str.encode(text, "utf-8") for text in texts], shape)
    return np.array(value, datatype.dtype).reshape(shape)
