from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway.harness import Door, options

KEY = "reader-0123456789abcdef"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(KEY)
    path.chmod(0o600)
    with Door(settings=options(keys_file=path)) as door:
        yield door


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/openapi.json"),
        *("/docs", "/docs/openapi.json", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js"),
    ],
)
def test_health_and_the_pages_are_there_without_a_key(locked: Door, path: str) -> None:
    assert locked.ask("GET", path).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/predict/ocr"),
        ("POST", "/ocr/prediction"),
        ("POST", "/v2/models/ocr/infer"),
        ("GET", "/v2/models/ocr"),
        ("GET", "/metrics"),
        # A path of Paddle Serving's protocol that looks like one of the documentation.
        ("POST", "/docs/prediction"),
        ("GET", "/docs/nothing"),
    ],
)
def test_all_else_asks_for_a_key_before_it_reads_a_body(locked: Door, method: str, path: str) -> None:
    with locked.connect() as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ("/predict/ocr", "error", {"code": 401, "message": "an API key is needed"}),
        ("/ocr/prediction", "code", 16),
        ("/v2/models/ocr/infer", "error", "an API key is needed"),
    ],
)
def test_a_missing_key_is_told_as_the_protocol_tells_errors(
    locked: Door, path: str, key: str, value: Any
) -> None:
    told = locked.ask("POST", path, {}).json[key]
    if isinstance(value, dict):
        assert value.items() <= told.items()
    else:
        assert str(told).startswith(str(value))
