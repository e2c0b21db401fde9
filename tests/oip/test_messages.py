from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from tritonclient.grpc import service_pb2

from toolkit import oip
from toolkit.oip import messages


def fields(message: Any, prefix: str = "") -> set[tuple[Any, ...]]:
    """All fields of a message and of those within it."""
    found = {
        (prefix + message.name, field.name, field.number, field.label, field.type, field.type_name)
        for field in message.field
    }
    return found.union(*(fields(inner, f"{prefix}{message.name}.") for inner in message.nested_type))


def test_every_message_is_that_of_triton_field_by_field() -> None:
    theirs = FileDescriptorProto.FromString(service_pb2.DESCRIPTOR.serialized_pb)
    known = {message.name: message for message in theirs.message_type}
    ours = messages.file()
    assert ours.package == theirs.package
    for message in ours.message_type:
        assert fields(message) == fields(known[message.name])
        assert [item.name for item in message.oneof_decl] == [
            item.name for item in known[message.name].oneof_decl
        ]


def test_a_request_with_parameters_of_every_type_is_read_by_the_generated_module() -> None:
    request = messages.ModelInferRequest(model_name="ocr", id="7", raw_input_contents=[b"ab"])
    request.parameters["flag"].bool_param = True
    request.parameters["count"].int64_param = -1
    request.inputs.add(name="x", datatype="UINT8", shape=[2]).parameters["text"].string_param = "ü"
    request.outputs.add(name="y").parameters["share"].double_param = 0.5
    theirs = service_pb2.ModelInferRequest.FromString(request.SerializeToString())
    assert theirs.parameters["count"].int64_param == -1
    assert theirs.inputs[0].parameters["text"].string_param == "ü"
    assert messages.ModelInferRequest.FromString(theirs.SerializeToString()) == request


def test_a_parameter_holds_one_value() -> None:
    parameter = messages.ModelInferRequest().parameters["x"]
    parameter.bool_param = True
    parameter.string_param = "later"
    assert parameter.WhichOneof("parameter_choice") == "string_param"
    assert not parameter.bool_param


def test_the_file_describes_a_service_that_reflection_can_hand_out() -> None:
    pool: Any = DescriptorPool()
    pool.Add(messages.file())
    service = pool.FindServiceByName(oip.SERVICE)
    assert [method.name for method in service.methods] == list(messages.METHODS)
    assert service.methods_by_name[oip.INFER].input_type.full_name == "inference.ModelInferRequest"
