from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from toolkit.client import HttpClient
from toolkit.content.kinds import Kind
from toolkit.errors import SmokeError
from toolkit.tuning import load

ANSWER = b'{"lines": [], "width": 1, "height": 1}'


class Server(ThreadingHTTPServer):
    """Answers each request after a tenth of a second, two at a time."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.places = threading.Semaphore(2)
        self.bodies: list[bytes] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server: Any = self.server
        server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        with server.places:
            time.sleep(0.1)
        self.send_response(server.status)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.mark.parametrize("clients", [1, 4])
def test_throughput_and_latency_are_what_the_clients_see(server: Server, clients: int) -> None:
    point, times = load.phase(server.url, "ocr", [b"a", b"b"], clients, 0.8, 5)
    # Little's law: as many requests are under way as there are clients, however busy this machine is.
    assert point.throughput * sum(times) / len(times) / 1000 == pytest.approx(clients, rel=0.2)
    assert point.p50 >= 100 * clients / 2
    assert point.throughput <= 10.5 * min(clients, 2)
    assert point.p99 == max(times)


def test_whole_passes_over_the_images_are_counted(server: Server) -> None:
    point, times = load.phase(server.url, "ocr", [b"a", b"b", b"c"], 2, 0.35, 5)
    assert point.requests == len(times) >= 3
    assert point.requests % 3 == 0
    assert len(set(server.bodies)) == 3


def test_a_phase_without_a_time_is_one_pass(server: Server) -> None:
    point, _ = load.phase(server.url, "ocr", [b"a", b"b", b"c"], 2, 0, 5)
    assert point.requests == 3


def test_a_request_that_fails_ends_the_phase(server: Server) -> None:
    server.status = 503
    with pytest.raises(SmokeError, match="with 2 clients"):
        load.phase(server.url, "ocr", [b"a"], 2, 60, 5)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("load-")]


def test_a_request_without_an_answer_in_time_is_too_slow(server: Server) -> None:
    server.status = 504
    with pytest.raises(load.TooSlow):
        load.phase(server.url, "ocr", [b"a"], 2, 60, 5)


def test_a_queue_that_is_full_is_too_slow(server: Server) -> None:
    server.status = 429
    with pytest.raises(load.TooSlow):
        load.phase(server.url, "ocr", [b"a"], 2, 60, 5)


def test_an_error_of_our_own_ends_the_phase_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def predict(*_: Any) -> Any:
        raise ValueError("no prediction")

    monkeypatch.setattr(HttpClient, "predict", predict)
    with pytest.raises(ValueError, match="no prediction"):
        load.phase(server.url, "ocr", [b"a"], 2, 60, 5)


@pytest.mark.parametrize(("share", "expected"), [(0.99, 99), (0.5, 50), (0.001, 1), (1.0, 100)])
def test_percentile(share: float, expected: float) -> None:
    assert load.percentile(list(range(100, 0, -1)), share) == expected
    assert load.percentile([7.0], share) == 7


@pytest.mark.parametrize(
    ("kind", "content", "body"),
    [("text", "字".encode(), {"text": "字"}), ("json", b"[1, 2]", {"inputs": [1, 2]})],
)
def test_a_pipeline_that_takes_no_images_is_asked_what_it_takes(
    server: Server, kind: Kind, content: bytes, body: Any
) -> None:
    load.phase(server.url, "ocr", [content], 1, 0, 5, kind)
    assert [json.loads(sent) for sent in server.bodies] == [body] * len(server.bodies)
