from __future__ import annotations

import http.client
import logging
import random
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from tests.gateway.certificates import Authority, needs_openssl
from tests.gateway.porch import Porch, error_of, read_all
from toolkit.gateway import connections
from toolkit.gateway.tls import Tls, ssl_context

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(autouse=True)
def short_goodbyes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_LINGER", 0.5)


@pytest.fixture(scope="module")
def shared() -> Iterator[Porch]:
    with Porch() as porch:
        yield porch


@pytest.fixture
def porch(shared: Porch) -> Iterator[Porch]:
    shared.unhandled.clear()
    yield shared
    assert shared.unhandled == []


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls(*Authority(tmp_path_factory.mktemp("ca")).issue("server"))


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def assert_served(connection: socket.socket, request: bytes = GET) -> None:
    connection.sendall(request)
    answer = b""
    while not answer.endswith(b"hello"):
        chunk = connection.recv(1000)
        assert chunk, answer
        answer += chunk
    assert answer.startswith(b"HTTP/1.1 200")


def patiently(connection: socket.socket, data: bytes, pause: float) -> None:
    """Send byte by byte, until the other end has had enough."""
    try:
        for n in range(len(data)):
            connection.sendall(data[n : n + 1])
            time.sleep(pause)
    except ConnectionError:
        pass


def wait_until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def wait_for_room(porch: Porch) -> None:
    wait_until(lambda: not porch.server.server_state.connections)


def test_a_connection_beyond_the_limit_is_told_so_and_closed_and_others_go_on() -> None:
    with Porch(max_connections=2) as porch, porch.connect() as one, porch.connect() as two:
        for connection in (one, two):
            assert_served(connection)
        with porch.connect() as third:
            answer = read_all(third)
            assert b"\r\nRetry-After: 1\r\n" in answer
            status, error = error_of(answer)
        assert status == error["code"] == 503
        assert "connections" in error["message"]
        assert error["remedy"]
        assert_served(one)
        one.close()
        end = time.monotonic() + 5
        while porch.ask() != 200:
            assert time.monotonic() < end


def test_a_client_that_is_turned_down_while_it_sends_reads_its_answer_all_the_same() -> None:
    with Porch(max_connections=1) as porch, porch.connect() as holder:
        assert_served(holder)
        connection = http.client.HTTPConnection("127.0.0.1", porch.port, timeout=10)
        connection.request("POST", "/", b"x" * 3_000_000)
        assert connection.getresponse().status == 503
        connection.close()


def test_the_log_says_that_all_connections_are_taken_but_not_for_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Porch(max_connections=1) as porch, porch.connect() as holder:
        assert_served(holder)
        assert [porch.ask() for _ in range(20)] == [503] * 20
    assert [record.levelno for record in caplog.records if "connections are taken" in record.message] == [
        logging.WARNING
    ]


def test_those_who_cling_to_their_refusal_do_not_pile_up() -> None:
    clinging = []
    with Porch(max_connections=1) as porch, porch.connect() as holder:
        assert_served(holder)
        for _ in range(150):
            connection = porch.connect()
            # Neither read nor closed.
            clinging.append(connection)
        counts: list[int] = []

        def is_over() -> bool:
            counts.append(len(porch.server.server_state.connections))
            return counts[-1] == 1 and max(counts) > 50

        wait_until(is_over)
        assert max(counts) <= 101
        for connection in clinging:
            connection.close()


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_connection_without_a_whole_request_is_cut_while_others_are_served(sent: bytes) -> None:
    with Porch(header_seconds=0.5) as porch, porch.connect() as slow:
        began = time.monotonic()
        slow.sendall(sent)
        assert porch.ask() == 200
        answer = read_all(slow)
        assert time.monotonic() - began > 0.4
        assert porch.ask() == 200
    if sent:
        status, error = error_of(answer)
        assert status == 408
        assert "0.5 seconds" in error["message"]
    else:
        assert answer == b""


def test_headers_that_trickle_are_cut_however_steadily_they_come() -> None:
    with Porch(header_seconds=0.5) as porch, porch.connect() as slow:
        began = time.monotonic()
        patiently(slow, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100, 0.05)
        assert time.monotonic() - began < 4
        assert porch.ask() == 200


def test_the_second_request_of_a_connection_may_not_trickle_either() -> None:
    with Porch(header_seconds=0.5) as porch, porch.connect() as connection:
        assert_served(connection)
        began = time.monotonic()
        patiently(connection, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100, 0.05)
        assert time.monotonic() - began < 4


def test_empty_lines_between_requests_do_not_keep_a_connection_open() -> None:
    with Porch(header_seconds=0.5, keep_alive=1) as porch, porch.connect() as connection:
        assert_served(connection)
        began = time.monotonic()
        patiently(connection, b"\r\n" * 50, 0.05)
        assert time.monotonic() - began < 4


def test_a_body_that_nobody_waits_for_any_more_ends() -> None:
    with Porch(header_seconds=0.5, keep_alive=1) as porch, porch.connect() as connection:
        assert_served(connection, b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        began = time.monotonic()
        patiently(connection, b"x" * 100, 0.05)
        assert time.monotonic() - began < 4


def test_a_request_that_takes_longer_than_its_headers_may_is_answered() -> None:
    with Porch(header_seconds=0.3) as porch, porch.connect() as connection:
        connection.sendall(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
        for _ in range(4):
            time.sleep(0.25)
            connection.sendall(b"x")
        assert_served(connection, b"")


def test_a_connection_in_use_lasts_longer_than_its_first_headers_might_have_taken() -> None:
    with Porch(header_seconds=0.3) as porch, porch.connect() as connection:
        for _ in range(5):
            assert_served(connection)
            time.sleep(0.2)


def test_a_client_that_does_not_read_its_answer_is_cut() -> None:
    with Porch(header_seconds=0.5) as porch, porch.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.1)
        assert porch.server.server_state.connections
        wait_for_room(porch)
        assert porch.ask() == 200


def test_a_client_that_closes_after_its_answer_but_does_not_read_it_is_cut() -> None:
    request = b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with Porch(header_seconds=0.5) as porch, porch.connect() as connection:
        connection.sendall(request)
        wait_for_room(porch)


@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"], ids=["kept", "closed"])
def test_a_client_that_reads_slowly_and_steadily_gets_all_of_its_answer(header: bytes) -> None:
    with Porch(header_seconds=0.5, keep_alive=1) as porch, slow_reader(porch) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n")
        got = 0
        while got < 16_000_000 and (chunk := connection.recv(65536)):
            got += len(chunk)
            time.sleep(0.005)
    assert got >= 16_000_000


def slow_reader(porch: Porch) -> socket.socket:
    """A connection whose system keeps little, so that what its owner does not read waits at the other end."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", porch.port))
    return connection


def test_a_large_answer_reaches_a_client_that_reads(porch: Porch) -> None:
    with porch.connect() as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = read_all(connection)
    assert len(answer.partition(b"\r\n\r\n")[2]) == 16_000_000


@pytest.mark.parametrize("pieces", [1, 40])
def test_headers_beyond_the_limit_are_431(porch: Porch, pieces: int) -> None:
    head = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: " + b"b" * 20_000 + b"\r\n\r\n"
    with porch.connect() as connection:
        step = len(head) // pieces
        for start in range(0, len(head), step):
            connection.sendall(head[start : start + step])
        status, error = error_of(read_all(connection))
    assert status == error["code"] == 431
    assert "fewer headers" in error["remedy"]


def test_a_long_path_is_431(porch: Porch) -> None:
    with porch.connect() as connection:
        connection.sendall(b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert error_of(read_all(connection))[0] == 431


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["words", "TLS", "no host", "negative length", "two lengths", "bytes in the path"],
)
def test_what_is_not_http_is_400_in_our_words(porch: Porch, sent: bytes) -> None:
    with porch.connect() as connection:
        connection.sendall(sent)
        status, error = error_of(read_all(connection))
    assert status == error["code"] == 400
    assert "not a valid HTTP request" in error["message"]
    assert len(error["message"]) < 300


@pytest.mark.parametrize("version", ["2.0", "0.9", "3.0"])
def test_a_version_that_is_not_spoken_here_is_505(porch: Porch, version: str) -> None:
    with porch.connect() as connection:
        connection.sendall(b"GET * HTTP/%s\r\nHost: x\r\n\r\nSM\r\n\r\n" % version.encode())
        assert error_of(read_all(connection))[0] == 505


def test_an_encoding_that_is_unknown_is_501(porch: Porch) -> None:
    with porch.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n")
        assert error_of(read_all(connection))[0] == 501


def test_garbage_in_a_body_that_is_waited_for_is_400(porch: Porch) -> None:
    with porch.connect() as connection:
        connection.sendall(
            b"POST /slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        )
        time.sleep(0.1)
        connection.sendall(b"no length\r\n")
        assert error_of(read_all(connection))[0] == 400


def test_garbage_in_a_body_after_its_answer_closes_without_a_second_answer(porch: Porch) -> None:
    with porch.connect() as connection:
        assert_served(connection, b"POST /early HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"no length\r\n")
        assert read_all(connection) == b""


def test_garbage_after_a_request_does_not_spoil_its_answer(porch: Porch) -> None:
    with porch.connect() as connection:
        connection.sendall(GET + b"nonsense\r\n\r\n")
        answers = read_all(connection)
    assert answers.startswith(b"HTTP/1.1 200")
    assert answers.count(b"HTTP/1.1 400") == 1


def test_requests_sent_in_one_piece_are_answered_in_turn(porch: Porch) -> None:
    with porch.connect() as connection:
        connection.sendall(GET * 20 + b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert read_all(connection).count(b"HTTP/1.1 200") == 21


def test_random_bytes_leave_it_serving(porch: Porch) -> None:
    chance = random.Random(7)
    starts = (
        b"",
        b"GET / HTTP/1.1\r\n",
        b"POST /slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    )
    for n in range(150):
        with porch.connect() as connection:
            try:
                connection.sendall(starts[n % 3] + chance.randbytes(chance.randrange(1, 3000)))
                if n % 2:
                    connection.shutdown(socket.SHUT_WR)
                    read_all(connection)
            except ConnectionError:
                pass
    assert porch.ask() == 200
    wait_for_room(porch)


def test_a_stop_does_not_wait_for_connections_that_say_nothing() -> None:
    with Porch(header_seconds=30) as porch:
        silent = [porch.connect() for _ in range(5)]
        silent[0].sendall(b"GET / HT")
        silent[1].sendall(b"nonsense\r\n\r\n")
        assert_served(silent[2])
    assert porch.stop_seconds < 1.5
    for connection in silent:
        connection.close()


@needs_openssl
def test_a_handshake_that_is_not_finished_is_cut_while_others_are_served(tls: Tls) -> None:
    with Porch(header_seconds=0.5, context=ssl_context(tls)) as porch, porch.connect() as half:
        half.sendall(b"\x16\x03\x01")
        began = time.monotonic()
        with trusting().wrap_socket(porch.connect()) as whole:
            assert_served(whole)
        assert read_all(half) == b""
        assert time.monotonic() - began < 3
        assert porch.unhandled == []


@needs_openssl
def test_handshakes_count_as_connections(tls: Tls) -> None:
    with Porch(max_connections=10, header_seconds=30, context=ssl_context(tls)) as porch:
        halves = [porch.connect() for _ in range(130)]
        end = time.monotonic() + 20
        while (cut := sum(map(is_cut, halves))) < 20 and time.monotonic() < end:
            time.sleep(0.05)
        assert cut == 20
        for half in halves:
            half.close()


def is_cut(half: socket.socket) -> bool:
    half.setblocking(False)
    try:
        return half.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@needs_openssl
def test_slow_headers_are_cut_in_tls_too_though_the_client_says_no_goodbye(tls: Tls) -> None:
    with (
        Porch(header_seconds=0.5, context=ssl_context(tls)) as porch,
        trusting().wrap_socket(porch.connect()) as slow,
    ):
        slow.sendall(b"GET / HT")
        time.sleep(0.1)
        assert porch.server.server_state.connections
        wait_for_room(porch)
        assert error_of(slow.recv(4096))[0] == 408


@needs_openssl
def test_an_idle_client_in_tls_that_says_no_goodbye_is_forgotten(tls: Tls) -> None:
    with (
        Porch(keep_alive=1, context=ssl_context(tls)) as porch,
        trusting().wrap_socket(porch.connect()) as idle,
    ):
        assert_served(idle)
        wait_for_room(porch)


@needs_openssl
def test_a_stop_does_not_wait_for_the_goodbye_of_idle_clients_in_tls(tls: Tls) -> None:
    with Porch(context=ssl_context(tls)) as porch:
        idle = trusting().wrap_socket(porch.connect())
        assert_served(idle)
        handshaking = porch.connect()
        time.sleep(0.1)
    assert porch.stop_seconds < 3
    assert porch.unhandled == []
    idle.close()
    handshaking.close()


@needs_openssl
def test_the_limit_holds_in_tls_with_an_answer(tls: Tls) -> None:
    with (
        Porch(max_connections=1, context=ssl_context(tls)) as porch,
        trusting().wrap_socket(porch.connect()) as holder,
    ):
        assert_served(holder)
        with trusting().wrap_socket(porch.connect()) as second:
            second.sendall(GET)
            assert error_of(second.recv(4096))[0] == 503


@needs_openssl
def test_random_bytes_leave_tls_serving(tls: Tls) -> None:
    chance = random.Random(8)
    with Porch(context=ssl_context(tls)) as porch:
        for n in range(60):
            with porch.connect() as connection:
                start = (b"", b"\x16\x03\x01", GET)[n % 3]
                connection.sendall(start + chance.randbytes(chance.randrange(1, 600)))
        with trusting().wrap_socket(porch.connect()) as whole:
            assert_served(whole)
        wait_for_room(porch)
        assert porch.unhandled == []


def test_a_system_out_of_files_is_waited_for(
    porch: Porch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listener = porch.server.servers[0]
    real = listener._socket  # type: ignore[attr-defined]

    class Exhausted:
        fileno = real.fileno

        @staticmethod
        def accept() -> None:
            raise OSError(24, "Too many open files")

    monkeypatch.setattr(listener, "_socket", Exhausted)
    with porch.connect() as waiting:
        waiting.sendall(GET)
        time.sleep(0.2)
        monkeypatch.setattr(listener, "_socket", real)
        assert_served(waiting, b"")
