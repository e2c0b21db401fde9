"""One release in the place of another: behind open ports, without a lost request, and not at all if it fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.supervisor.stage import ROOT, Asking, Stage, accept, make_release, stage
from toolkit.errors import ServiceError, SmokeError, TemplateError
from toolkit.supervisor import control, deployed
from toolkit.supervisor.deployed import FP32, Deployed
from toolkit.supervisor.state import State
from toolkit.supervisor.switch import switch


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`one` and `two`, each with an FP32 variant, and such as must not serve."""
    folder = tmp_path_factory.mktemp("releases")
    for name in ("one", "two"):
        make_release(folder / name, name)
        make_release(folder / name / "fp32", f"{name} in fp32")
    make_release(folder / "crashing", "crashing", fails=3)
    make_release(folder / "wrong", "something", answer="something else")
    make_release(folder / "broken", "broken")
    (folder / "broken" / "release.yml").write_text("name: [")
    make_release(folder / "mute", "mute")
    (folder / "mute" / "golden" / "golden.json").unlink()
    make_release(folder / "slow", "slow", start=60)
    return folder


@pytest.fixture(scope="module")
def shared(
    releases: Path, tmp_path_factory: pytest.TempPathFactory, patched: pytest.MonkeyPatch
) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("switch"), patched, replicas=2) as made:
        control.launch(made.home, made.target(releases / "one"))
        yield made


@pytest.fixture
def running(shared: Stage, releases: Path) -> Stage:
    """The service of `one`, with its FP32 variant standing by."""
    if shared.state.target != shared.target(releases / "one"):
        switch(shared.home, shared.target(releases / "one"), accept)
    shared.wait_for("all is well", lambda: sorted(state for _, state in shared.replicas()) == WELL)
    return shared


WELL = ["ready", "ready", "standby"]


def refuse(state: State) -> None:
    raise SmokeError("it says something else")


def test_a_release_takes_over_without_a_lost_request_and_connections_stay(
    running: Stage, releases: Path
) -> None:
    pid = running.state.pid
    with Asking(running.state) as asking:
        running.wait_for("answers", lambda: asking.answers["one"] > 10)
        switched = switch(running.home, running.target(releases / "two"), accept)
        running.wait_for("answers", lambda: asking.answers["two"] > 10)
    assert asking.problems == []
    assert set(asking.answers) == {"one", "two"}
    assert (switched.proof, switched.warm, switched.why_stopped) == (str(releases / "two"), False, "")
    assert running.state.pid == pid
    assert running.state.target == running.target(releases / "two")
    assert 'serving_release_info{pipeline="ocr",release="two",variant="release"} 1.0' in running.metrics()
    assert deployed.read(running.home) == Deployed(
        running.target(releases / "two"), running.target(releases / "one")
    )


def test_the_replicas_of_the_former_release_are_gone_and_numbers_are_used_again(
    running: Stage, releases: Path
) -> None:
    for name in ("two", "one", "two"):
        switch(running.home, running.target(releases / name), accept)
        running.wait_for("it stands by", lambda: sorted(state for _, state in running.replicas()) == WELL)
        assert running.processes() == 4
    assert max(index for index, _ in running.replicas()) <= 6


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("crashing", ServiceError, r"(?s)ended with exit code 3.*it was told to fail"),
        ("wrong", ServiceError, "answers other than the gate recorded"),
        ("broken", TemplateError, "the rendered release is wrong"),
        ("mute", ServiceError, "cannot be read"),
        ("none", ServiceError, "is not there any more"),
    ],
)
def test_a_release_that_fails_before_the_shift_leaves_the_old_one_untouched(
    running: Stage, releases: Path, name: str, error: type[Exception], message: str
) -> None:
    before, replicas = running.state.pid, [item["pid"] for item in running.state.replicas]
    with Asking(running.state) as asking, pytest.raises(error, match=message):
        switch(running.home, running.target(releases / name), accept)
    assert asking.problems == []
    assert set(asking.answers) == {"one"}
    running.wait_for("nothing is left of it", lambda: running.processes() == 4)
    assert (running.state.pid, [item["pid"] for item in running.state.replicas]) == (before, replicas)
    assert deployed.read(running.home).now == running.target(releases / "one")  # type: ignore[union-attr]


def test_a_release_that_fails_the_smoke_test_is_taken_back_without_a_start(
    running: Stage, releases: Path
) -> None:
    replicas = [item["pid"] for item in running.state.replicas]
    with (
        Asking(running.state) as asking,
        pytest.raises(SmokeError, match=r"(?s)something else.*the release before serves again"),
    ):
        switch(running.home, running.target(releases / "two"), refuse)
    assert asking.problems == []
    assert running.read() == "one"
    assert [item["pid"] for item in running.state.replicas] == replicas
    assert 'serving_rollouts_total{pipeline="ocr",result="reverted"} 0.0' not in running.metrics()
    assert deployed.read(running.home).now == running.target(releases / "one")  # type: ignore[union-attr]


def test_fp32_stands_by_and_serves_at_once_and_back_again(running: Stage, releases: Path) -> None:
    in_fp32 = replace(running.state.target, variant=FP32)
    with Asking(running.state) as asking:
        there = switch(running.home, in_fp32, accept)
        assert running.read() == "one in fp32"
        running.wait_for("all places are filled", lambda: [s for _, s in running.replicas()] == ["ready"] * 2)
        back = switch(running.home, running.target(releases / "one"), accept)
        assert running.read() == "one"
    assert asking.problems == []
    assert (there.warm, back.warm) == (True, False)
    assert there.seconds < 0.5
    assert deployed.read(running.home).now == running.target(releases / "one")  # type: ignore[union-attr]


def test_a_release_without_fp32_says_so(running: Stage, releases: Path) -> None:
    with pytest.raises(ServiceError, match="no FP32 variant"):
        switch(running.home, running.target(releases / "crashing", variant=FP32), accept)


def test_another_front_door_is_a_stop_and_a_start_and_the_command_says_why(
    running: Stage, releases: Path
) -> None:
    pid = running.state.pid
    target = replace(running.target(releases / "two"), settings=replace(running.settings, host="0.0.0.0"))
    switched = switch(running.home, target, accept)
    assert switched.why_stopped == "the address changed"
    assert running.state.pid != pid
    assert running.read() == "two"
    assert deployed.read(running.home).now == target  # type: ignore[union-attr]
    with pytest.raises(SmokeError, match="the release before serves again"):
        switch(running.home, running.target(releases / "one"), refuse)
    assert deployed.read(running.home).now == target  # type: ignore[union-attr]


COMMAND = """
import sys
from pathlib import Path
from toolkit.supervisor.deployed import Target
from toolkit.supervisor.settings import Settings
from toolkit.supervisor.switch import switch
def verify(state):
    print("shifted", flush=True)
    sys.stdin.read()
print("begun", flush=True)
switch(Path(sys.argv[1]), Target(sys.argv[2], Settings("127.0.0.1", *map(int, sys.argv[3:6]))), verify)
"""


@pytest.mark.parametrize("name", ["slow", "two"])
def test_a_command_that_is_killed_leaves_what_served(running: Stage, releases: Path, name: str) -> None:
    settings = running.settings
    argv = [
        str(running.home),
        str(releases / name),
        settings.http_port,
        settings.grpc_port,
        settings.replicas,
    ]
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, argv)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as command:  # fmt: skip
        assert command.stdout is not None
        assert command.stdout.readline() == "begun\n"
        if name == "two":
            assert command.stdout.readline() == "shifted\n"
            assert running.read() == "two"
        else:
            running.wait_for("its replicas start", lambda: running.processes() > 5)
        command.send_signal(signal.SIGKILL)
    running.wait_for("what served serves", lambda: running.read() == "one" and running.processes() == 4)
    assert deployed.read(running.home).now == running.target(releases / "one")  # type: ignore[union-attr]


def test_a_service_that_dies_of_a_release_is_started_again_with_the_one_before(
    running: Stage, releases: Path
) -> None:
    def kill(state: State) -> None:
        os.kill(state.pid, signal.SIGKILL)
        running.wait_for("it is gone", lambda: not state.alive)

    with pytest.raises(ServiceError, match=r"(?s)ended meanwhile.*the release before serves again"):
        switch(running.home, running.target(releases / "two"), kill)
    assert running.read() == "one"
    assert deployed.read(running.home).now == running.target(releases / "one")  # type: ignore[union-attr]


def test_the_control_socket_is_the_users_own_and_goes_with_the_service(running: Stage) -> None:
    socket = Path(running.state.run_dir) / "control.sock"
    assert socket.stat().st_mode & 0o777 == 0o600
    control.stop(running.home)
    assert not socket.exists()
    control.launch(running.home, deployed.read(running.home).now)  # type: ignore[union-attr]
