"""What must hold while things go wrong: no hang, no wrong answer, errors only where they must be."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.chaos.load import Load, questions
from tests.chaos.service import Service, free_port, launch, leftovers, running
from tests.e2e import faulty
from tests.e2e.harness import ROOT, Place, listening
from tests.processes import processes_of
from toolkit.supervisor import control

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]

SILENCE = 4  # seconds; golden_deadline_seconds of the faulty release


@pytest.fixture(scope="module")
def release(prepared: Place) -> Path:
    (path,) = (prepared.build / "store" / "render").iterdir()
    return path


@pytest.fixture(scope="module")
def shared(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    limits = {
        "golden_deadline_seconds": SILENCE,
        "golden_interval_seconds": 2,
        "memory_limit_megabytes": 2500,
    }
    made = faulty.make(release, tmp_path_factory.mktemp("faulty") / "release", **limits)
    with running(made, 2) as service:
        yield service


@pytest.fixture
def service(shared: Service) -> Service:
    shared.wait_until_all_ready()
    return shared


def page(width: int, height: int = 64, kind: str = "PNG", mode: str = "RGB", **options: object) -> bytes:
    image = Image.new("RGB", (width, height), "white").convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def load_of(service: Service, clients: int = 2) -> Load:
    return Load(*service.http, questions(service.release)[:2], clients)


def check(load: Load) -> None:
    assert [item.answer.kind for item in load.failures] == []
    assert [item.wrong for item in load.wrong] == []


def test_a_replica_killed_under_load_is_out_within_a_second_and_no_request_fails(service: Service) -> None:
    victim = service.replica(0)
    with load_of(service) as load:
        load.wait_for(2)
        victim.kill()
        out = service.wait_until("it is out of rotation", lambda: service.look().states[0] != "ready")
        back = service.wait_until("another one is ready", lambda: service.look().ready == 2)
        load.wait_for(2)
    check(load)
    print(
        f"out of rotation after {out:.2f} s, replaced after {back:.1f} s, longest wait {load.longest:.1f} s"
    )
    assert out < 1


def test_a_replica_that_is_stopped_under_load_is_out_within_the_golden_deadline(service: Service) -> None:
    victim, before = service.replica(1), service.look().by_reason("hang")
    with load_of(service) as load:
        load.wait_for(2)
        victim.send_signal(signal.SIGSTOP)
        out = service.wait_until("it is out of rotation", lambda: service.look().states[1] != "ready")
        service.wait_until("another one is ready", lambda: service.look().ready == 2)
        load.wait_for(2)
    check(load)
    print(f"out of rotation after {out:.2f} s, longest wait {load.longest:.1f} s")
    assert out < SILENCE + 1.5
    assert service.look().by_reason("hang") == before + 1


@pytest.mark.parametrize("width", [faulty.ABORT, faulty.ALLOCATE])
def test_what_takes_two_replicas_down_is_500_and_refused_from_then_on(service: Service, width: int) -> None:
    poison, before = page(width), service.look()
    answer = service.ask(poison, timeout=90)
    assert answer.status == 500
    digest = answer.json["error"]["message"].partition("SHA-256 ")[2].rstrip(")")
    assert f"took two replicas down and is refused from now on, SHA-256 {digest}" in service.log()
    assert service.look().poisoned == before.poisoned + 1
    service.wait_until_all_ready()
    again = service.ask(poison)
    assert (again.status, again.seconds < 1) == (500, True)
    now = service.look()
    reason = "exit" if width == faulty.ABORT else "memory"
    assert now.by_reason(reason) - before.by_reason(reason) == 2
    assert service.ask(questions(service.release)[0].image).status == 200


def test_a_step_that_fails_is_500_and_costs_no_replica(service: Service) -> None:
    before = [item["pid"] for item in service.state.replicas]
    assert service.ask(page(faulty.RAISE)).status == 500
    assert service.ask(questions(service.release)[0].image).status == 200
    assert [item["pid"] for item in service.state.replicas] == before


EXIF_ON_ITS_SIDE = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"


@pytest.mark.parametrize(
    ("image", "status", "size"),
    [
        (page(1, 1), 200, (1, 1)),
        (page(3000, 2), 200, (3000, 2)),
        (page(80, 60, "JPEG", "CMYK"), 200, (80, 60)),
        (page(80, 60, "PNG", "I;16"), 200, (80, 60)),
        (page(80, 60, "GIF", save_all=True, append_images=[Image.new("RGB", (80, 60))]), 200, (80, 60)),
        (page(80, 60, "JPEG", exif=EXIF_ON_ITS_SIDE), 200, (60, 80)),
        (page(80, 60, "JPEG")[:-20], 422, None),
        (page(80, 60, "PNG")[:60], 422, None),
        (page(9000, 9000), 413, None),
        (b"", 400, None),
        (os.urandom(1000), 422, None),
    ],
    ids=[
        "one-pixel",
        "flat",
        "cmyk",
        "16-bit",
        "animated",
        "rotated",
        "cut-jpeg",
        "cut-png",
        "bomb",
        "nothing",
        "noise",
    ],
)
def test_every_kind_of_image_has_its_answer(
    service: Service, image: bytes, status: int, size: tuple[int, int]
) -> None:
    answer = service.ask(image)
    assert answer.status == status, answer.body
    if status == 200:
        assert (answer.json["width"], answer.json["height"]) == size
    else:
        assert answer.json["error"]["remedy"]


def test_a_body_of_50_megabytes_is_413_at_once_and_takes_no_memory(service: Service) -> None:
    before = service.process().memory_info().rss
    answer = service.ask(bytes(50 << 20))
    assert answer.seconds < 5
    # Who does not stop sending may find the connection closed before the answer.
    assert answer.status == 413 or answer.problem in ("ConnectionResetError", "BrokenPipeError")
    assert service.process().memory_info().rss - before < 30 << 20


def test_noise_on_every_port_leaves_others_served(service: Service) -> None:
    generator = np.random.default_rng(1)
    with load_of(service, clients=1) as load:
        for address in (service.http, service.grpc) * 20:
            with socket.create_connection(address, timeout=5) as connection:
                connection.sendall(generator.bytes(2000))
        load.wait_for(1)
    check(load)


def test_a_thousand_connections_that_say_nothing_leave_others_served(service: Service) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for number in range(500):
            for address in (service.http, service.grpc):
                connection = stack.enter_context(socket.create_connection(address, timeout=5))
                if number % 2:
                    connection.sendall(b"POST /predict/ocr HTTP/1.1\r\nHost: x\r\n")
        answer = service.ask(questions(service.release)[0].image)
        assert answer.status == 200
    assert service.ready()


def test_clients_that_vanish_give_their_places_back(service: Service) -> None:
    image = questions(service.release)[0].image
    head = "POST /predict/ocr HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    for number in range(30):
        with socket.create_connection(service.http, timeout=5) as connection:
            connection.sendall(f"{head}Content-Length: {len(image)}\r\n\r\n".encode())
            connection.sendall(image if number % 2 else image[:100])
    service.wait_until("all places are free", lambda: service.look().in_flight == 0)
    assert service.ask(image).status == 200
    service.wait_until("all replicas are free", lambda: busy(service) == 0, seconds=90)


def busy(service: Service) -> float:
    """Requests that the replicas still have."""
    lines = service.get("/metrics").body.decode().splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("serving_replica_in_flight"))


def test_a_full_disk_loses_lines_of_logs_and_nothing_else(service: Service) -> None:
    processes = [service.process(), *(service.replica(index) for index in range(2))]
    for item in processes:
        item.rlimit(psutil.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        with load_of(service) as load:
            load.wait_for(4)
            assert service.ask(b"noise").status == 422
        check(load)
    finally:
        for item in processes:
            item.rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_a_crash_loop_is_told_and_not_hot_and_the_other_replica_serves(service: Service) -> None:
    refusal = service.run_dir / "replica-0" / faulty.REFUSAL
    refusal.touch()
    try:
        before = service.look().by_reason("start")
        service.replica(0).kill()
        with load_of(service, clients=1) as load:
            service.wait_until("it is said", lambda: service.look().states[0] == "crash-loop", seconds=180)
            starts = service.look().by_reason("start")
            time.sleep(5)
            assert service.look().by_reason("start") == starts, "it goes on starting"
            load.wait_for(1)
        check(load)
        assert starts - before <= 5
        assert "exit code 3" in service.state.replicas[0]["message"]
    finally:
        refusal.unlink()
    # The next attempt comes after a minute.
    service.wait_until_all_ready(120)


# -------------------------------------------------------------------------------------- starts and ends


def test_of_two_starts_at_once_one_wins_and_the_other_says_why(prepared: Place) -> None:
    ports = ["--http-port", str(free_port()), "--grpc-port", str(free_port())]
    argv = prepared.argv(
        "launch", "--data", str(prepared.data), "--precision", "fp32", "--replicas", "1", *ports
    )
    both = [
        subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [item.communicate(timeout=300)[1] for item in both]
    try:
        codes = [item.returncode for item in both]
        assert sorted(codes) == [0, 8], told
        assert "running already" in told[codes.index(8)]
    finally:
        assert prepared.run("stop").code == 0


def test_sigterm_under_load_answers_what_was_accepted_and_leaves_nothing(
    release: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    service = launch(home, release, 2)
    assert len(processes_of(home)) == 3
    load = Load(*service.http, questions(release)[:2], 3)
    with load:
        load.wait_for(3)
        ended = time.monotonic()
        stopping = threading.Thread(target=control.stop, args=(home,))
        stopping.start()
        stopping.join(60)
        assert not stopping.is_alive()
    # Those that came after the port was closed were not accepted; their clients learn of it in one way or another.
    refused = {
        "503",
        "ConnectionRefusedError",
        "ConnectionResetError",
        "BrokenPipeError",
        "RemoteDisconnected",
    }
    assert {item.answer.kind for item in load.failures} <= refused
    assert all(item.began > ended - 0.1 for item in load.failures)
    assert not load.wrong
    assert not processes_of(home)
    assert not any(listening(port) for _, port in (service.http, service.grpc))
    assert leftovers(home) == []


def test_a_service_that_is_killed_leaves_nothing_either_once_it_is_started_again(
    release: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    service = launch(home, release, 2)
    try:
        service.process().kill()
        deadline = time.monotonic() + 10
        while processes_of(home):
            assert time.monotonic() < deadline, "a replica outlived its service"
            time.sleep(0.05)
        again = launch(home, release, 1, (service.http[1], service.grpc[1]))
        assert again.ask(questions(release)[0].image).status == 200
    finally:
        control.stop(home)
    assert not processes_of(home)
    assert leftovers(home) == []


def test_in_the_foreground_it_tells_systemd_and_ends_with_sigterm(prepared: Place, tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    ports = ["--http-port", str(free_port()), "--grpc-port", str(free_port())]
    argv = prepared.argv(
        "serve", "--data", str(prepared.data), "--precision", "fp32", "--replicas", "1", *ports
    )
    environment = {**os.environ, "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(120)
        running_one = subprocess.Popen(argv, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        try:
            told = [systemd.recv(1000).decode().split("\n")[0] for _ in range(3)]
            assert told == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
            running_one.send_signal(signal.SIGTERM)
            while told[-1] != "STOPPING=1":
                told.append(systemd.recv(1000).decode().split("\n")[0])
            _, log = running_one.communicate(timeout=60)
        finally:
            running_one.kill()
            running_one.wait()
    assert running_one.returncode == 0
    assert "ready: http://127.0.0.1" in log
    assert not processes_of(prepared.directory)


def test_a_clock_that_jumps_changes_nothing() -> None:
    """Deadlines, restarts and goldens go by the monotonic clock; the other one is for what people read."""
    for path in (ROOT / "toolkit" / "gateway", ROOT / "toolkit" / "supervisor", ROOT / "toolkit" / "serving"):
        for module in path.glob("*.py"):
            for line in module.read_text().splitlines():
                if "time.time(" in line or "datetime.now" in line:
                    assert module.name == "tls.py", f"{module}: {line}"


def test_chaos_as_make_runs_it_passes(release: Path) -> None:
    argv = [sys.executable, "-m", "tests.chaos", "--release", str(release), "--json"]
    argv += ["--replicas", "3", "--clients", "4", "--seconds", "40", "--kill-every", "15"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert json.loads(done.stdout)["passed"]
