"""Both clients against a real front door: the same calls, the same answers, the same errors."""

from __future__ import annotations

import concurrent.futures
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Union

import pytest

from tests.fakes import LINES, FakeReplica, png
from tests.gateway.harness import Door, options
from toolkit.client import (
    BadRequest,
    ClientError,
    DeadlineExceeded,
    GrpcClient,
    HttpClient,
    NotFound,
    ServerFault,
    TooLarge,
    Unavailable,
)

Client = Union[HttpClient, GrpcClient]


def connect(kind: str, door: Door, timeout: float = 10.0) -> Client:
    return HttpClient(door.url, timeout) if kind == "http" else GrpcClient(door.target, timeout)


@pytest.fixture(params=["http", "grpc"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(kind: str, door: Door) -> Iterator[Client]:
    with connect(kind, door) as made:
        yield made


def test_an_image_may_be_bytes_or_a_path(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "page.png"
    file.write_bytes(png())
    first, second = client.predict("ocr", png()), client.predict("ocr", file)
    assert first == second
    assert [line.text for line in first.lines] == [line["text"] for line in LINES]
    assert first.raw == {"lines": LINES, "width": 64, "height": 32}


def test_a_file_that_is_not_there_is_the_callers_own_error(client: Client, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client.predict("ocr", tmp_path / "missing.png")


def test_each_refusal_has_a_type_a_status_and_the_words_of_the_service(
    client: Client, replica: FakeReplica
) -> None:
    with pytest.raises(NotFound) as caught:
        client.predict("no/such model", png())
    assert caught.value.status == 404
    with pytest.raises(BadRequest, match="not an image") as bad:
        client.predict("ocr", b"plain text")
    assert bad.value.status == 422
    with pytest.raises(TooLarge) as bytes_:
        client.predict("ocr", png() + bytes(200_000))
    assert bytes_.value.status == 413
    with pytest.raises(TooLarge, match="pixels"):
        client.predict("ocr", png(12_000, 12_000)[:1000])
    replica.plan.err_no, replica.plan.err_msg = 53, "planned"
    with pytest.raises(ServerFault, match="planned") as fault:
        client.predict("ocr", png())
    assert fault.value.status == 500


def test_an_answer_that_is_no_prediction_is_the_servers_fault(client: Client, replica: FakeReplica) -> None:
    replica.plan.lines = [{"text": 5}]
    with pytest.raises(ServerFault, match=r"lines\[0\].text must be a string"):
        _ = client.predict("ocr", png()).lines


def test_a_timeout_ends_the_call(client: Client, replica: FakeReplica) -> None:
    replica.plan.delay = 2.0
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded) as caught:
        client.predict("ocr", png(), timeout=0.3)
    assert time.monotonic() - started < 1.5
    assert caught.value.status == 504


def test_the_clients_own_timeout_holds_where_the_call_names_none(
    kind: str, door: Door, replica: FakeReplica
) -> None:
    replica.plan.delay = 2.0
    with connect(kind, door, timeout=0.3) as client, pytest.raises(DeadlineExceeded):
        client.predict("ocr", png())


def test_a_full_service_is_unavailable_with_status_429(kind: str, replica: FakeReplica) -> None:
    with Door(replica.target, settings=options(queue=0), depth=0) as door, connect(kind, door) as client:
        with pytest.raises(Unavailable) as caught:
            client.predict("ocr", png())
        assert caught.value.status == 429
        assert caught.value.retry_after == 1


def test_ready_is_what_the_service_says(kind: str, replica: FakeReplica) -> None:
    ready = threading.Event()
    with Door(replica.target, is_ready=ready.is_set) as door, connect(kind, door) as client:
        assert not client.ready()
        with pytest.raises(Unavailable) as caught:
            client.predict("ocr", png())
        assert caught.value.status == 503
        assert caught.value.retry_after == 1
        ready.set()
        assert client.ready()


def test_where_nobody_listens_the_service_is_unavailable_and_not_ready(kind: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with (
            HttpClient(f"http://127.0.0.1:{port}") if kind == "http" else GrpcClient(f"127.0.0.1:{port}")
        ) as client:
            assert not client.ready()
            with pytest.raises(Unavailable) as caught:
                client.predict("ocr", png())
            assert caught.value.retry_after is None


def test_one_client_serves_many_threads(client: Client, replica: FakeReplica) -> None:
    replica.plan.delay = 0.02
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(lambda width: client.predict("ocr", png(width, 8)).width, range(1, 65)))
    assert sizes == list(range(1, 65))


def test_a_proxy_of_the_environment_is_not_heeded(
    kind: str, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with connect(kind, door) as client:
        assert client.predict("ocr", png()).width == 64


def test_an_http_connection_is_kept_and_replaced_when_the_server_has_closed_it(replica: FakeReplica) -> None:
    with Door(replica.target) as door:
        client = HttpClient(door.url)
        client.predict("ocr", png())
        ports = {"http_port": door.http_port, "grpc_port": door.grpc_port}
    with Door(replica.target, settings=options(**ports)), client:
        assert client.predict("ocr", png()).width == 64


def test_an_http_server_that_is_something_else_is_reported_in_its_own_words() -> None:
    answer = b"HTTP/1.1 418 Teapot\r\nContent-Length: 5\r\n\r\nshort"
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with HttpClient(f"http://127.0.0.1:{server.getsockname()[1]}") as client:
            with pytest.raises(ClientError, match="short") as caught:
                client.predict("ocr", png())
            assert caught.value.status == 418
        thread.join()


@pytest.mark.parametrize("url", ["127.0.0.1:9393", "ftp://host", "http://", "unix:/x"])
def test_a_url_that_is_not_http_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="not an http"):
        HttpClient(url)
