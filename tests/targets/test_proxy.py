"""nginx in front of several machines, which are addresses of the loopback interface here."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.fakes import FakeReplica, png
from tests.gateway.harness import Door, options
from tests.targets.examples import EXAMPLES, text
from toolkit.client import GrpcClient, HttpClient
from toolkit.doctor import GRPC_PORT, HTTP_PORT
from toolkit.targets import files

NGINX = shutil.which("nginx", path="/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is missing: install Debian's package `nginx`")

HOSTS = ("127.0.0.2", "127.0.0.3")


@dataclass(frozen=True)
class Proxied:
    """nginx on this machine, and the front doors behind it."""

    http_port: int
    grpc_port: int
    doors: list[Door]
    replicas: list[FakeReplica]
    unready: set[str]

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def shares(self) -> list[int]:
        """How many requests each replica got."""
        return [len(replica.plan.seen) for replica in self.replicas]


def free_port(*hosts: str) -> int:
    """A port that nobody has on any of the addresses."""
    with socket.socket() as first:
        first.bind((hosts[0], 0))
        port: int = first.getsockname()[1]
        for host in hosts[1:]:
            with socket.socket() as other:
                other.bind((host, port))
        return port


@contextmanager
def proxied(folder: Path) -> Iterator[Proxied]:
    """The rendered proxy in front of two front doors with a replica each."""
    spec = EXAMPLES["ocr"]
    spec = spec.model_copy(update={"targets": spec.targets.model_copy(update={"hosts": HOSTS})})
    (config,) = files.write(files.render(spec, ["proxy"]), folder)
    http, grpc = free_port(*HOSTS), free_port(*HOSTS)
    found = Proxied(free_port("127.0.0.1"), free_port("127.0.0.1"), [], [], set())
    said = config.read_text().replace("/tmp/nginx", str(folder / "nginx"))
    for listening, behind, mine in (
        (HTTP_PORT, http, found.http_port),
        (GRPC_PORT, grpc, found.grpc_port),
    ):
        said = said.replace(f":{listening} ", f":{behind} ")
        said = said.replace(f"listen {listening}", f"listen 127.0.0.1:{mine}")
    config.write_text(said)
    with ExitStack() as stack:
        for host in HOSTS:
            replica = stack.enter_context(FakeReplica(folder / f"{host}.sock"))
            settings = options(host=host, http_port=http, grpc_port=grpc)
            found.replicas.append(replica)
            door = Door(
                replica.target, settings=settings, is_ready=lambda host=host: host not in found.unready
            )
            found.doors.append(stack.enter_context(door))
        stack.enter_context(_running(config, found.http_port))
        yield found


@contextmanager
def _running(config: Path, port: int) -> Iterator[None]:
    with (config.parent / "nginx.log").open("wb") as log:
        nginx = subprocess.Popen([str(NGINX), "-c", str(config), "-g", "daemon off;"], stderr=log)
        try:
            deadline = time.monotonic() + 10
            while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
                assert nginx.poll() is None, (config.parent / "nginx.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield
        finally:
            nginx.terminate()
            nginx.wait(10)


@needs_nginx
@pytest.mark.parametrize("name", EXAMPLES)
def test_nginx_accepts_the_configuration(name: str, tmp_path: Path) -> None:
    config = tmp_path / "nginx.conf"
    config.write_text(text(name, "proxy/nginx.conf").replace("/tmp/nginx", str(tmp_path / "nginx")))
    done = subprocess.run(
        [str(NGINX), "-t", "-c", str(config)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


@needs_nginx
def test_requests_of_both_protocols_are_shared_out_and_none_is_lost_with_a_machine(tmp_path: Path) -> None:
    with proxied(tmp_path) as here, HttpClient(here.http) as http, GrpcClient(here.grpc) as grpc:
        for client in (http, grpc):
            before = here.shares
            for _ in range(10):
                assert client.predict("ocr", png()).lines
            shares = [now - then for now, then in zip(here.shares, before)]
            assert sum(shares) == 10
            assert min(shares) >= 3, shares
        here.doors[0].stop(grace=0)
        for client in (http, grpc):
            for _ in range(5):
                assert client.predict("ocr", png()).lines


@needs_nginx
def test_a_machine_that_is_not_ready_is_passed_over(tmp_path: Path) -> None:
    with proxied(tmp_path) as here, HttpClient(here.http) as http:
        here.unready.add(HOSTS[0])
        for _ in range(6):
            assert http.predict("ocr", png()).lines
        assert here.shares == [0, 6]


@needs_nginx
def test_what_a_client_did_wrong_is_told_by_one_machine_and_metrics_by_none(tmp_path: Path) -> None:
    with proxied(tmp_path) as here:
        assert requests.post(f"{here.http}/predict/ocr", json={"image": "?"}, timeout=20).status_code == 400
        assert requests.get(f"{here.http}/metrics", timeout=20).status_code == 404
        assert requests.get(f"{here.http}/readyz", timeout=20).status_code == 200
