"""Server reflection: which services there are and what their messages look like, for grpcurl and its kind."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from toolkit.client import protocol
from toolkit.oip import messages


def add(server: Any) -> None:
    """Have `server` answer questions about all services of the front door."""
    health = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
    names = (protocol.SERVICE, messages.SERVICE, health, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool=_pool())


def _pool() -> Any:
    """The descriptors of all services; ours are in no default pool."""
    pool: Any = DescriptorPool()
    pool.Add(protocol.file())
    pool.Add(messages.file())
    for module in (health_pb2, reflection_pb2):
        pool.Add(FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb))
    return pool
