"""What an ONNX file says of itself, without ONNX: the fields of its protobuf message that a person asks for.

The numbers of the fields are those of onnx/onnx.proto; all others are passed over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from toolkit.engines.signature import Tensor
from toolkit.errors import ModelError

_PACKAGE = "toolkit.onnx"
_FIELD = descriptor_pb2.FieldDescriptorProto

# Message -> field -> (number, type, repeated); a type that is a message stands under its name.
_MESSAGES: dict[str, dict[str, tuple[int, Any, bool]]] = {
    "Model": {
        "ir_version": (1, _FIELD.TYPE_INT64, False),
        "producer_name": (2, _FIELD.TYPE_STRING, False),
        "producer_version": (3, _FIELD.TYPE_STRING, False),
        "graph": (7, "Graph", False),
        "opset_import": (8, "OperatorSet", True),
    },
    "OperatorSet": {"domain": (1, _FIELD.TYPE_STRING, False), "version": (2, _FIELD.TYPE_INT64, False)},
    "Graph": {
        "node": (1, "Node", True),
        "initializer": (5, "Tensor", True),
        "input": (11, "Value", True),
        "output": (12, "Value", True),
    },
    "Node": {
        "output": (2, _FIELD.TYPE_STRING, True),
        "op_type": (4, _FIELD.TYPE_STRING, False),
        "attribute": (5, "Attribute", True),
    },
    "Attribute": {"t": (5, "Tensor", False)},
    "Tensor": {
        "dims": (1, _FIELD.TYPE_INT64, True),
        "data_type": (2, _FIELD.TYPE_INT32, False),
        "name": (8, _FIELD.TYPE_STRING, False),
        "external_data": (13, "Entry", True),
    },
    "Entry": {"key": (1, _FIELD.TYPE_STRING, False), "value": (2, _FIELD.TYPE_STRING, False)},
    "Value": {"name": (1, _FIELD.TYPE_STRING, False), "type": (2, "Type", False)},
    "Type": {"tensor_type": (1, "TensorType", False)},
    "TensorType": {"elem_type": (1, _FIELD.TYPE_INT32, False), "shape": (2, "Shape", False)},
    "Shape": {"dim": (1, "Dimension", True)},
    "Dimension": {"dim_value": (1, _FIELD.TYPE_INT64, False), "dim_param": (2, _FIELD.TYPE_STRING, False)},
}

_DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool",
    10: "float16", 11: "float64", 16: "bfloat16",
}  # fmt: skip
_FLOATS = (1, 10, 11, 16)


def read(path: Path) -> dict[str, Any]:
    """Inputs, outputs, operators and parameters of the model in the file `path`.

    Returns:
        `version`: operator set and what wrote it; `inputs` and `outputs`, each a `Tensor`; `operators`, how many of
        each type; `shapes` of the parameters, by name; `external`, names of the files that hold parameters beside it.

    Raises:
        ModelError: it is no ONNX model, or a damaged one.
    """
    try:
        model = _model_class().FromString(path.read_bytes())
    except message.DecodeError as error:
        raise _damaged(path) from error
    if not (model.graph.node and model.graph.output):
        raise _damaged(path)
    parameters = _parameters(model.graph)
    shapes = {name: tuple(item.dims) for name, item in parameters.items()}
    return {
        "version": _version(model),
        "inputs": [_tensor(item) for item in model.graph.input if item.name not in shapes],
        "outputs": [_tensor(item) for item in model.graph.output],
        "operators": Counter(node.op_type for node in model.graph.node),
        "shapes": shapes,
        "external": sorted(_external(parameters.values())),
    }


def _parameters(graph: Any) -> dict[str, Any]:
    """The tensors that the file holds, by name: the graph's own, and arrays of floats that an operator stands for."""
    constants = (node for node in graph.node if node.op_type == "Constant")
    held = {node.output[0]: item.t for node in constants for item in node.attribute if node.output}
    return {
        **{name: tensor for name, tensor in held.items() if tensor.dims and tensor.data_type in _FLOATS},
        **{item.name: item for item in graph.initializer},
    }


def _external(tensors: Iterable[Any]) -> set[str]:
    entries = (entry for item in tensors for entry in item.external_data)
    return {entry.value for entry in entries if entry.key == "location"}


def _damaged(path: Path) -> ModelError:
    return ModelError(
        "the file is no ONNX model, or it is damaged or truncated",
        where=str(path),
        remedy="copy or export it again",
    )


def _version(model: Any) -> str:
    # Both names are those of ONNX's own operators.
    opset = next((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), 0)
    writer = " ".join(filter(None, (model.producer_name, model.producer_version)))
    return f"operator set {opset}" + (f", written by {writer}" if writer else "")


def _tensor(value: Any) -> Tensor:
    kind = value.type.tensor_type
    dims = (item.dim_value if item.dim_value > 0 else -1 for item in kind.shape.dim)
    return Tensor(value.name, _DTYPES.get(kind.elem_type, f"type {kind.elem_type}"), tuple(dims))


def _model_class() -> Any:
    """The class of the message `Model`, made of the table above."""
    file = descriptor_pb2.FileDescriptorProto(name="toolkit_onnx.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        file.message_type.add(name=name).field.extend(_fields(fields.items()))
    pool: Any = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory: Any = message_factory.MessageFactory(pool)
    return factory.GetPrototype(pool.FindMessageTypeByName(f"{_PACKAGE}.Model"))


def _fields(fields: Iterable[tuple[str, tuple[int, Any, bool]]]) -> Iterable[Any]:
    for name, (number, kind, repeated) in fields:
        label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
        field = _FIELD(name=name, number=number, label=label)
        if isinstance(kind, str):
            field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
        else:
            field.type = kind
        yield field
