from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from toolkit.supervisor.notify import Notifier


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told_when_the_service_is_ready_alive_and_stopping(tmp_path: Path, abstract: bool) -> None:
    name = f"@toolkit-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name.replace("@", "\0", 1) if abstract else name)
        systemd.settimeout(5)
        notifier = Notifier({"NOTIFY_SOCKET": name})
        notifier.ready("2 of 2 replicas are ready")
        notifier.alive("1 of 2 replicas is ready")
        notifier.stopping()
        told = [systemd.recv(1000).decode() for _ in range(3)]
    assert told == [
        "READY=1\nSTATUS=2 of 2 replicas are ready",
        "WATCHDOG=1\nSTATUS=1 of 2 replicas is ready",
        "STOPPING=1\nSTATUS=finishing requests",
    ]


def test_the_watchdog_is_fed_twice_in_its_time() -> None:
    assert Notifier({"WATCHDOG_USEC": "30000000"}).watchdog_seconds == 15
    assert Notifier({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}).watchdog_seconds == 15


@pytest.mark.parametrize(
    "environ",
    [
        {},
        *({"WATCHDOG_USEC": text} for text in ("x", "0", "²")),
        {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"},
    ],
)
def test_a_watchdog_of_somebody_else_or_of_no_time_is_not_ours(environ: dict[str, str]) -> None:
    assert Notifier(environ).watchdog_seconds is None


def test_nobody_listening_is_no_error(tmp_path: Path) -> None:
    Notifier({}).ready("")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready("")
