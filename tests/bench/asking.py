"""Clients of the service, each on a connection of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.load import Ask
from tests.chaos.service import Service
from toolkit.client import GrpcClient, HttpClient

# Sixteen clients at two cores wait for each other.
_TIMEOUT = 120.0


@contextmanager
def http(service: Service) -> Iterator[Ask]:
    """Asks over HTTP; gives the answer as JSON has it."""
    with HttpClient(service.state.http_url, _TIMEOUT) as client:
        yield _answers(client, service.plan.name)


@contextmanager
def grpc(service: Service) -> Iterator[Ask]:
    """Asks over gRPC; gives the answer as JSON has it."""
    with GrpcClient(service.state.grpc_target, _TIMEOUT) as client:
        yield _answers(client, service.plan.name)


def _answers(client: HttpClient | GrpcClient, model: str) -> Ask:
    return lambda image: client.predict(model, image).raw


PROTOCOLS = {"HTTP": http, "gRPC": grpc}
