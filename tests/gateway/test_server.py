from __future__ import annotations

import base64
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import FakeReplica, png
from tests.gateway.certificates import Authority, der, needs_openssl, served
from tests.gateway.harness import Answer, Door, options
from toolkit.client import GrpcClient, Prediction
from toolkit.errors import ServiceError
from toolkit.gateway.endpoint import Endpoint
from toolkit.gateway.tls import Tls

IMAGE = base64.b64encode(png()).decode()
ROOT = Path(__file__).parents[2]


@contextmanager
def replica_process(path: Path, delay: float) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", "tests.fakes", str(path), str(delay)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        try:
            yield child
        finally:
            child.kill()


def in_background(work: Any, *args: Any) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work(*args)))
    thread.start()
    return thread, results


def test_a_request_whose_replica_is_killed_is_answered_by_another_one(
    tmp_path: Path, replica: FakeReplica
) -> None:
    with (
        replica_process(tmp_path / "r.sock", delay=20) as child,
        Door(f"unix:{tmp_path}/r.sock", replica.target) as door,
    ):
        suspects: list[Any] = []
        door.pool.suspected = suspects.append
        thread, answers = in_background(door.ask, "POST", "/predict/ocr", {"image": IMAGE})
        assert child.stdout is not None
        assert child.stdout.readline() == "arrived\n"
        killed = time.monotonic()
        child.send_signal(signal.SIGKILL)
        thread.join(10)
        assert time.monotonic() - killed < 2
        assert answers[0].status == 200
        assert suspects == [door.endpoints[0]]
        assert door.call(lambda: door.pool.size) == 1


def test_a_request_whose_replica_is_taken_out_is_answered_by_another_one(
    tmp_path: Path, replica: FakeReplica
) -> None:
    """Whether the end of the process or that of the channel is noticed first must not matter."""
    with (
        replica_process(tmp_path / "r.sock", delay=20) as child,
        Door(f"unix:{tmp_path}/r.sock", replica.target) as door,
    ):
        thread, answers = in_background(door.ask, "POST", "/predict/ocr", {"image": IMAGE})
        assert child.stdout is not None
        assert child.stdout.readline() == "arrived\n"
        door.run(door.endpoints[0].close())
        thread.join(10)
        assert answers[0].status == 200


def test_a_request_that_takes_two_replicas_down_is_poison_and_not_tried_again(
    tmp_path: Path, replica: FakeReplica, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        replica_process(tmp_path / "a.sock", delay=20) as first,
        replica_process(tmp_path / "b.sock", delay=20) as second,
        Door(f"unix:{tmp_path}/a.sock", f"unix:{tmp_path}/b.sock") as door,
    ):
        thread, answers = in_background(door.ask, "POST", "/predict/ocr", {"image": IMAGE})
        for child in (first, second):
            assert child.stdout is not None
            assert child.stdout.readline() == "arrived\n"
            child.kill()
        thread.join(10)
        poison = answers[0]
        assert (poison.status, poison.json["error"]["code"]) == (500, 500)
        assert "SHA-256" in poison.json["error"]["message"]
        assert any("took two replicas down" in item.getMessage() for item in caplog.records)
        door.call(lambda: door.pool.add(Endpoint(2, replica.target)))
        assert door.ask("POST", "/predict/ocr", {"image": IMAGE}).status == 500
        assert replica.plan.seen == []
        other = base64.b64encode(png(65, 32)).decode()
        assert door.ask("POST", "/predict/ocr", {"image": other}).status == 200


def test_a_second_replica_that_was_down_already_is_not_held_against_a_request(
    tmp_path: Path, replica: FakeReplica
) -> None:
    one, other = tmp_path / "1.sock", tmp_path / "2.sock"
    with (
        replica_process(one, delay=20) as first,
        replica_process(other, delay=0) as second,
        Door(f"unix:{one}", f"unix:{other}", replica.target) as door,
    ):
        thread, answers = in_background(door.ask, "POST", "/predict/ocr", {"image": IMAGE})
        assert first.stdout is not None
        assert first.stdout.readline() == "arrived\n"
        second.kill()
        second.wait()
        first.kill()
        thread.join(10)
        assert answers[0].status == 200


def test_silence_of_two_replicas_is_held_against_a_request_the_second_time_only(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.sock" for n in range(4)]
    with ExitStack() as stack:
        children = [stack.enter_context(replica_process(path, delay=20)) for path in paths]
        door = stack.enter_context(Door(*(f"unix:{path}" for path in paths)))
        for endpoint in door.endpoints:
            endpoint.excused = True
        statuses = []
        for one, other in (children[:2], children[2:]):
            thread, answers = in_background(door.ask, "POST", "/predict/ocr", {"image": IMAGE})
            for child in (one, other):
                assert child.stdout is not None
                assert child.stdout.readline() == "arrived\n"
                child.kill()
            thread.join(10)
            statuses.append(answers[0].status)
        assert statuses == [503, 500]
        assert door.ask("POST", "/predict/ocr", {"image": IMAGE}).status == 500


def test_a_request_without_a_replica_waits_for_one_to_come_back(replica: FakeReplica) -> None:
    with Door() as door:
        thread, answers = in_background(door.ask, "POST", "/predict/ocr", {"image": IMAGE})
        time.sleep(0.2)
        door.call(lambda: door.pool.add(Endpoint(0, replica.target)))
        thread.join(10)
        assert answers[0].status == 200


def test_where_no_replica_comes_back_it_is_503_at_the_deadline() -> None:
    with Door() as door:
        answer = door.ask("POST", "/predict/ocr", {"image": IMAGE}, {"X-Timeout-Ms": "200"})
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


def test_a_graceful_stop_takes_nothing_new_and_finishes_what_is_under_way(replica: FakeReplica) -> None:
    replica.plan.delay = 1.0
    with Door(replica.target) as door, GrpcClient(door.target) as client:
        http_thread, http_answers = in_background(door.ask, "POST", "/predict/ocr", {"image": IMAGE})
        grpc_thread, grpc_answers = in_background(client.predict, "ocr", png())
        while len(replica.plan.seen) < 2:
            time.sleep(0.01)
        stopping, _ = in_background(door.stop, 10)
        time.sleep(0.4)
        for port in (door.http_port, door.grpc_port):
            with pytest.raises(OSError, match="refused"):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
        started = time.monotonic()
        for thread in (http_thread, grpc_thread, stopping):
            thread.join(10)
        assert time.monotonic() - started < 3
    assert isinstance(http_answers[0], Answer)
    assert http_answers[0].status == 200
    assert isinstance(grpc_answers[0], Prediction)


def test_a_stop_drops_what_is_not_finished_within_the_grace(replica: FakeReplica) -> None:
    replica.plan.delay = 20.0
    with Door(replica.target) as door, door.connect() as connection:
        body = f'{{"image": "{IMAGE}"}}'
        head = "POST /predict/ocr HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        assert replica.plan.arrived.wait(5)
        started = time.monotonic()
        door.stop(grace=0.5)
        assert time.monotonic() - started < 3


@pytest.mark.parametrize(("taken", "protocol"), [("http_port", "HTTP"), ("grpc_port", "gRPC")])
def test_a_taken_port_is_named_with_the_remedy_and_the_other_one_is_let_go(taken: str, protocol: str) -> None:
    with socket.socket() as holder, socket.socket() as other:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        other.bind(("127.0.0.1", 0))
        free = other.getsockname()[1]
        other.close()
        port = holder.getsockname()[1]
        ports = {"http_port": free, "grpc_port": free, taken: port}
        with pytest.raises(ServiceError) as caught, Door("unix:/nobody", settings=options(**ports)):
            pass
        assert f"port {port}, for {protocol}, is taken" in caught.value.message
        assert caught.value.where == f"127.0.0.1:{port}"
        assert "ss -ltnp" in str(caught.value.remedy)
        with socket.socket() as again:
            again.bind(("127.0.0.1", free))


@pytest.mark.parametrize("shared", ["http_port", "grpc_port"])
def test_two_front_doors_do_not_share_a_port(replica: FakeReplica, shared: str) -> None:
    with Door(replica.target) as door:
        second = Door(replica.target, settings=options(**{shared: getattr(door, shared)}))
        with pytest.raises(ServiceError, match="is taken"), second:
            pass
        assert door.ask("POST", "/predict/ocr", {"image": IMAGE}).status == 200


def test_an_address_of_another_machine_is_an_error_with_a_remedy() -> None:
    with (
        pytest.raises(ServiceError, match="cannot be bound"),
        Door("unix:/nobody", settings=options(host="192.0.2.1")),
    ):
        pass


def test_a_port_is_free_again_as_soon_as_the_door_is_closed(replica: FakeReplica) -> None:
    with Door(replica.target) as door:
        door.ask("POST", "/predict/ocr", {"image": IMAGE})
        ports = {"http_port": door.http_port, "grpc_port": door.grpc_port}
    with Door(replica.target, settings=options(**ports)) as door:
        assert door.ask("POST", "/predict/ocr", {"image": IMAGE}).status == 200


def test_the_front_door_leaves_the_signals_of_its_process_alone() -> None:
    program = """
import asyncio, signal
from tests.gateway.harness import options
from toolkit.gateway.server import Gateway
async def main():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    gateway = Gateway(options())
    await gateway.start()
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    await gateway.stop(0)
asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=30)


@needs_openssl
def test_a_new_certificate_is_served_on_both_ports_and_a_mute_handshake_is_cut(
    replica: FakeReplica, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "ca")
    files = Tls(tmp_path / "cert.pem", tmp_path / "key.pem")

    def put(name: str) -> bytes:
        pair = authority.issue(name)
        for source, target in zip(pair, (files.cert, files.key)):
            source.replace(target)
        return der(files.cert)

    first = put("first")
    with Door(replica.target, settings=options(tls=files, header_seconds=1.0)) as door:
        assert served(door.http_port) == served(door.grpc_port, "h2") == first
        with door.connect() as mute:
            mute.settimeout(5)
            assert mute.recv(1) == b"", "it says nothing, and is cut after a second"
        second = put("second")
        end = time.monotonic() + 10
        while served(door.http_port) != second:
            assert time.monotonic() < end
            time.sleep(0.1)
        assert served(door.grpc_port, "h2") == second


def test_the_metrics_say_ready_when_the_front_door_does(replica: FakeReplica) -> None:
    ready = threading.Event()
    with Door(replica.target, is_ready=ready.is_set) as door:
        assert 'serving_ready{pipeline="ocr"} 0.0' in door.ask("GET", "/metrics").text
        ready.set()
        assert 'serving_ready{pipeline="ocr"} 1.0' in door.ask("GET", "/metrics").text
