from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.soak import memory

METRICS = """
# HELP serving_replica_resident_memory_bytes Resident memory of the replica's process; 0 while there is none.
# TYPE serving_replica_resident_memory_bytes gauge
serving_replica_resident_memory_bytes{replica="0"} 1.5e+09
serving_replica_resident_memory_bytes{replica="1"} 0.0
# TYPE serving_replica_memory_limit_bytes gauge
serving_replica_memory_limit_bytes{replica="0"} 2e+09
"""
SLEEPING = "import sys; print('up', flush=True); sys.stdin.read()"


@pytest.fixture
def started() -> Iterator[list[int]]:
    """Two processes of this one, of which the second has a replica's name."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", SLEEPING, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        for arguments in ((), ("-m", memory.REPLICA))
    ]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    yield [child.pid for child in children]
    for child in children:
        child.communicate(timeout=20)


def test_the_replicas_of_a_service_are_found_and_nothing_else(started: list[int]) -> None:
    found = memory.resident(os.getpid())
    assert list(found) == [started[1]]
    assert found[started[1]] > 1_000_000


def test_a_service_that_has_ended_has_no_replicas() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert memory.resident(child.pid) == {}


def test_what_the_service_says_of_its_replicas_is_read_by_place() -> None:
    assert memory.told(METRICS) == {"0": 1_500_000_000}
    assert memory.told("") == {}


def test_a_service_without_metrics_is_no_error() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        # Bound and not listening: whoever connects is refused.
        assert memory.scraper(f"http://127.0.0.1:{port}")() == {}
