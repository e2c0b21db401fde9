"""The messages of the Open Inference Protocol and its gRPC service.

They are those of `grpc_predict_v2.proto`, the same on the wire. As in `toolkit/client/protocol.py`, they are built in a
descriptor pool of their own: protobuf refuses two definitions of one message in one pool, and a program may well import
the generated modules of a client (`tritonclient`, `kserve`) too.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from toolkit import oip

SERVICE = oip.SERVICE

# A type is a scalar of proto3, or a message of this table; in brackets where it is repeated. `{}` is the map that holds
# parameters, from a string to an InferParameter. A message within another has its name behind a dot.
_MESSAGES = {
    "InferParameter": (
        ("bool_param", 1, "bool"),
        ("int64_param", 2, "int64"),
        ("string_param", 3, "string"),
        ("double_param", 4, "double"),
        ("uint64_param", 5, "uint64"),
    ),
    "InferTensorContents": (
        ("bool_contents", 1, "[bool]"),
        ("int_contents", 2, "[int32]"),
        ("int64_contents", 3, "[int64]"),
        ("uint_contents", 4, "[uint32]"),
        ("uint64_contents", 5, "[uint64]"),
        ("fp32_contents", 6, "[float]"),
        ("fp64_contents", 7, "[double]"),
        ("bytes_contents", 8, "[bytes]"),
    ),
    "ServerLiveRequest": (),
    "ServerLiveResponse": (("live", 1, "bool"),),
    "ServerReadyRequest": (),
    "ServerReadyResponse": (("ready", 1, "bool"),),
    "ModelReadyRequest": (("name", 1, "string"), ("version", 2, "string")),
    "ModelReadyResponse": (("ready", 1, "bool"),),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": (
        ("name", 1, "string"),
        ("version", 2, "string"),
        ("extensions", 3, "[string]"),
    ),
    "ModelMetadataRequest": (("name", 1, "string"), ("version", 2, "string")),
    "ModelMetadataResponse": (
        ("name", 1, "string"),
        ("versions", 2, "[string]"),
        ("platform", 3, "string"),
        ("inputs", 4, "[ModelMetadataResponse.TensorMetadata]"),
        ("outputs", 5, "[ModelMetadataResponse.TensorMetadata]"),
    ),
    "ModelMetadataResponse.TensorMetadata": (
        ("name", 1, "string"),
        ("datatype", 2, "string"),
        ("shape", 3, "[int64]"),
    ),
    "ModelInferRequest": (
        ("model_name", 1, "string"),
        ("model_version", 2, "string"),
        ("id", 3, "string"),
        ("parameters", 4, "{}"),
        ("inputs", 5, "[ModelInferRequest.InferInputTensor]"),
        ("outputs", 6, "[ModelInferRequest.InferRequestedOutputTensor]"),
        ("raw_input_contents", 7, "[bytes]"),
    ),
    "ModelInferRequest.InferInputTensor": (
        ("name", 1, "string"),
        ("datatype", 2, "string"),
        ("shape", 3, "[int64]"),
        ("parameters", 4, "{}"),
        ("contents", 5, "InferTensorContents"),
    ),
    "ModelInferRequest.InferRequestedOutputTensor": (("name", 1, "string"), ("parameters", 2, "{}")),
    "ModelInferResponse": (
        ("model_name", 1, "string"),
        ("model_version", 2, "string"),
        ("id", 3, "string"),
        ("parameters", 4, "{}"),
        ("outputs", 5, "[ModelInferResponse.InferOutputTensor]"),
        ("raw_output_contents", 6, "[bytes]"),
    ),
    "ModelInferResponse.InferOutputTensor": (
        ("name", 1, "string"),
        ("datatype", 2, "string"),
        ("shape", 3, "[int64]"),
        ("parameters", 4, "{}"),
        ("contents", 5, "InferTensorContents"),
    ),
}

# Of each method, <name>Request and <name>Response are the messages.
METHODS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", oip.INFER)

_SCALARS = {
    name: FieldDescriptorProto.Type.Value(f"TYPE_{name.upper()}")
    for name in ("bool", "bytes", "double", "float", "int32", "int64", "string", "uint32", "uint64")
}
_ONE, _MANY = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED
_ONE_OF = "InferParameter"


def file() -> FileDescriptorProto:
    """The definitions of all messages and of the service, as server reflection hands them out."""
    described = FileDescriptorProto(name="grpc_predict_v2.proto", package=oip.PACKAGE, syntax="proto3")
    known: dict[str, DescriptorProto] = {}
    for name, fields in _MESSAGES.items():
        outer, _, inner = name.rpartition(".")
        message = known[outer].nested_type.add(name=inner) if outer else described.message_type.add(name=name)
        known[name] = message
        if name == _ONE_OF:
            message.oneof_decl.add(name="parameter_choice")
        for field_name, number, kind in fields:
            _add_field(message, name, field_name, number, kind)
    service = described.service.add(name=SERVICE.rpartition(".")[2])
    for name in METHODS:
        service.method.add(
            name=name, input_type=_full(f"{name}Request"), output_type=_full(f"{name}Response")
        )
    return described


def _add_field(message: DescriptorProto, owner: str, name: str, number: int, kind: str) -> None:
    field = message.field.add(name=name, number=number, label=_MANY if kind[0] in "[{" else _ONE)
    kind = kind.strip("[]")
    if kind == "{}":
        # What protoc makes of `map<string, InferParameter>`.
        entry = message.nested_type.add(name="ParametersEntry")
        entry.options.map_entry = True
        _add_field(entry, owner, "key", 1, "string")
        _add_field(entry, owner, "value", 2, "InferParameter")
        kind = f"{owner}.{entry.name}"
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, _full(kind)
    if message.oneof_decl:
        field.oneof_index = 0


def _full(name: str) -> str:
    return f".{oip.PACKAGE}.{name}"


def _classes() -> dict[str, Any]:
    pool: Any = DescriptorPool()
    pool.Add(file())
    factory: Any = message_factory.MessageFactory(pool)
    names = (name for name in _MESSAGES if "." not in name)
    return {name: factory.GetPrototype(pool.FindMessageTypeByName(f"{oip.PACKAGE}.{name}")) for name in names}


_built = _classes()
ServerLiveResponse: Any = _built["ServerLiveResponse"]
ServerReadyResponse: Any = _built["ServerReadyResponse"]
ModelReadyRequest: Any = _built["ModelReadyRequest"]
ModelReadyResponse: Any = _built["ModelReadyResponse"]
ServerMetadataResponse: Any = _built["ServerMetadataResponse"]
ModelMetadataRequest: Any = _built["ModelMetadataRequest"]
ModelMetadataResponse: Any = _built["ModelMetadataResponse"]
ModelInferRequest: Any = _built["ModelInferRequest"]
ModelInferResponse: Any = _built["ModelInferResponse"]
