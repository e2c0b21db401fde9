"""Several pipelines in one service: each joins, is replaced and leaves while the others answer."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.service import free_port, processes_of
from tests.fakes import png
from tests.supervisor.stage import Asking, Stage, accept, make_release, stage
from toolkit import process
from toolkit.client import GrpcClient
from toolkit.errors import ServiceError, SmokeError
from toolkit.serving import release
from toolkit.supervisor import control, deployed, front, lock, runs
from toolkit.supervisor import state as states
from toolkit.supervisor import switch as switches
from toolkit.supervisor.conversation import conversation
from toolkit.supervisor.deployed import Start
from toolkit.supervisor.state import State
from toolkit.supervisor.switch import switch


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("releases")
    for name, text in (("one", "one"), ("two", "two")):
        make_release(directory / name, text)
    make_release(directory / "first", "first", name="cls")
    make_release(directory / "second", "second", name="cls")
    make_release(directory / "wrong", "wrong", answer="else", name="cls")
    make_release(directory / "crashing", "crashing", fails=3, name="cls")
    make_release(directory / "slow", "slow", delay=1.5, name="cls")
    make_release(directory / "large", "large", name="cls", max_body_bytes=40_000_000)
    make_release(directory / "small", "small", name="cls", max_body_bytes=1_000)
    return directory


@pytest.fixture
def ocr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with stage(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def cls(ocr: Stage) -> Iterator[Stage]:
    """Nothing of it is served yet; it is to have the ports of `ocr`."""
    made = Stage(ocr.home.parent / "cls", ocr.settings, "cls")
    yield made
    control.stop(made.home)


@pytest.fixture
def both(ocr: Stage, cls: Stage, releases: Path) -> tuple[Stage, Stage]:
    switch(ocr.home, ocr.target(releases / "one"), accept)
    switch(cls.home, cls.target(releases / "first"), accept)
    return ocr, cls


def refuse(state: State) -> None:
    raise SmokeError("it says something else")


def replicas_of(here: Stage) -> list[int]:
    return [item["pid"] for item in here.state.replicas]


def get(here: Stage, path: str) -> Any:
    with urllib.request.urlopen(here.state.http_url + path, timeout=10) as answer:
        return json.loads(answer.read())


def status_of(here: Stage, path: str) -> int:
    try:
        with urllib.request.urlopen(here.state.http_url + path, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_pipeline_for_the_ports_of_another_joins_it_and_no_request_is_lost(
    ocr: Stage, cls: Stage, releases: Path
) -> None:
    switch(ocr.home, ocr.target(releases / "one"), accept)
    before = ocr.state
    with Asking(before) as asking:
        ocr.wait_for("answers", lambda: asking.answers["one"] > 5)
        switched = switch(cls.home, cls.target(releases / "first"), accept)
        ocr.wait_for("answers", lambda: asking.answers["one"] > 50)
    assert asking.problems == []
    assert (switched.state.pid, switched.state.http_port) == (before.pid, before.http_port)
    assert (ocr.read(), cls.read()) == ("one", "first")
    with GrpcClient(cls.state.grpc_target) as client:
        assert client.predict("cls", png()).lines[0].text == "first"
    assert [item["name"] for item in get(ocr, "/")["pipelines"]] == ["ocr", "cls"]
    assert {item["index"] for item in ocr.state.replicas} & {
        item["index"] for item in cls.state.replicas
    } == set()
    assert states.beside(ocr.home).keys() == {cls.home}
    assert deployed.read(cls.home) == deployed.Deployed(cls.target(releases / "first"))
    assert 'serving_ready{pipeline="cls"} 1.0' in ocr.metrics()


def test_a_service_with_more_replicas_than_threads_goes_on_working(ocr: Stage, tmp_path: Path) -> None:
    many = make_release(tmp_path / "many", "many", start_seconds=20)
    settings = replace(ocr.settings, replicas=min(32, (os.cpu_count() or 1) + 4))
    control.launch(ocr.home, replace(ocr.target(many), settings=settings))
    assert ocr.read() == "many"


def test_replicas_of_what_joins_start_as_few_at_a_time_as_its_release_says(
    ocr: Stage, cls: Stage, tmp_path: Path, releases: Path
) -> None:
    switch(ocr.home, ocr.target(releases / "one"), accept)
    make_release(tmp_path / "late", "late", start=1.5, name="cls", starts=1)
    three = replace(cls.target(tmp_path / "late"), settings=replace(cls.settings, replicas=3))
    assert switch(cls.home, three, accept).seconds > 4.5
    assert len(cls.replicas()) == 3


def test_one_is_replaced_and_taken_back_and_the_other_notices_nothing(
    both: tuple[Stage, Stage], releases: Path
) -> None:
    ocr, cls = both
    served = replicas_of(ocr)
    with Asking(ocr.state) as asking:
        switch(cls.home, cls.target(releases / "second"), accept)
        assert (ocr.read(), cls.read()) == ("one", "second")
        with pytest.raises(SmokeError, match="the release before serves again"):
            switch(cls.home, cls.target(releases / "first"), refuse)
        assert (ocr.read(), cls.read()) == ("one", "second")
    assert asking.problems == []
    assert replicas_of(ocr) == served
    assert deployed.read(cls.home).now == cls.target(releases / "second")  # type: ignore[union-attr]


def test_one_is_stopped_and_the_other_serves_on(both: tuple[Stage, Stage]) -> None:
    ocr, cls = both
    with Asking(ocr.state) as asking:
        assert control.stop(cls.home) is not None
        assert control.stop(cls.home) is None
    assert asking.problems == []
    assert states.running(cls.home) is None
    assert states.beside(ocr.home) == {}
    assert status_of(ocr, "/readyz?model=cls") == 404
    assert status_of(ocr, "/readyz") == 200
    assert 'pipeline="cls"' not in ocr.metrics()


def test_the_one_that_was_first_is_stopped_and_comes_back_beside_the_other(
    both: tuple[Stage, Stage], releases: Path
) -> None:
    ocr, cls = both
    pid, first = cls.state.pid, Path(cls.state.run_dir)
    assert first.parent == ocr.home / "run"
    control.stop(ocr.home)
    assert (cls.state.pid, cls.read()) == (pid, "first")
    # Runs are tidied whenever one begins: not the one that goes on.
    elsewhere = replace(ocr.settings, http_port=free_port(), grpc_port=free_port())
    control.launch(ocr.home, replace(ocr.target(releases / "one"), settings=elsewhere))
    control.stop(ocr.home)
    assert cls.read() == "first"
    control.launch(ocr.home, ocr.target(releases / "two"))
    assert ocr.state.pid == pid
    assert (ocr.read(), cls.read()) == ("two", "first")


def test_one_whose_release_is_gone_is_stopped_all_the_same(
    ocr: Stage, cls: Stage, releases: Path, tmp_path: Path
) -> None:
    gone = make_release(tmp_path / "gone", "gone", name="cls")
    switch(ocr.home, ocr.target(releases / "one"), accept)
    switch(cls.home, cls.target(gone), accept)
    gone.rename(tmp_path / "elsewhere")
    assert control.stop(cls.home) is not None
    assert states.running(cls.home) is None
    assert ocr.read() == "one"


def test_a_service_that_hangs_is_not_waited_for_and_it_is_told_how_to_end_it(
    both: tuple[Stage, Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    ocr, cls = both
    pid = ocr.state.pid
    monkeypatch.setattr(control, "_LEAVING_SECONDS", -15.0)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(ServiceError, match="does not answer") as caught:
        control.stop(cls.home)
    assert f"kill -KILL {pid}" in str(caught.value)
    os.kill(pid, signal.SIGCONT)


def test_the_process_ends_when_the_last_one_is_stopped(both: tuple[Stage, Stage]) -> None:
    ocr, cls = both
    state = ocr.state
    control.stop(ocr.home)
    assert state.alive
    control.stop(cls.home)
    assert not state.alive
    assert processes_of(ocr.home) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrong", "answers other than the gate recorded"),
        ("crashing", "(?s)it was told to fail"),
        ("none", "is not there any more"),
    ],
)
def test_one_that_cannot_join_leaves_the_other_as_it_was(
    ocr: Stage, cls: Stage, releases: Path, name: str, message: str
) -> None:
    switch(ocr.home, ocr.target(releases / "one"), accept)
    served = replicas_of(ocr)
    with Asking(ocr.state) as asking, pytest.raises(ServiceError, match=message):
        switch(cls.home, cls.target(releases / name), accept)
    assert asking.problems == []
    assert states.running(cls.home) is None
    assert deployed.read(cls.home) is None
    assert replicas_of(ocr) == served
    assert [item["name"] for item in get(ocr, "/")["pipelines"]] == ["ocr"]
    ocr.wait_for("nothing is left of it", lambda: len(ocr.state.replicas) == 1)


def test_one_that_is_not_confirmed_leaves_again(ocr: Stage, cls: Stage, releases: Path) -> None:
    switch(ocr.home, ocr.target(releases / "one"), accept)
    with pytest.raises(
        SmokeError, match=r"(?s)something else.*cls is not served; the other pipelines serve on"
    ):
        switch(cls.home, cls.target(releases / "first"), refuse)
    assert states.running(cls.home) is None
    # A command that is killed says nothing.
    target = cls.target(releases / "first")
    with conversation(Path(ocr.state.run_dir), cls.home) as talk:
        assert "shifted" in talk.ask("shift", target=target.to_json(), front=_front_of(ocr, releases))
        assert cls.read() == "first"
    ocr.wait_for("it has left", lambda: states.running(cls.home) is None)
    assert deployed.read(cls.home) is None
    assert ocr.read() == "one"


def _front_of(here: Stage, releases: Path) -> dict[str, str]:
    return front.of(here.settings, release.read(releases / "one").limits)


def test_other_keys_or_half_of_the_ports_are_refused_and_nothing_is_touched(
    ocr: Stage, cls: Stage, releases: Path, tmp_path: Path
) -> None:
    switch(ocr.home, ocr.target(releases / "one"), accept)
    (tmp_path / "keys").write_text("a-key-of-enough-characters-0123456789\n")
    target = cls.target(releases / "first")
    for changes, told in (
        ({"keys_file": str(tmp_path / "keys")}, "the API keys"),
        ({"grpc_port": free_port()}, "the address"),
    ):
        other = replace(target, settings=replace(target.settings, **changes))
        for way in (lambda: switch(cls.home, other, accept), lambda: control.launch(cls.home, other)):  # noqa: B023
            with pytest.raises(ServiceError, match=f"ocr is served at .*: {told}"):
                way()
    assert states.running(cls.home) is None
    assert ocr.read() == "one"


def test_launch_names_the_command_that_starts_the_service_anew_where_it_would_have_to_be(
    ocr: Stage, cls: Stage, releases: Path
) -> None:
    control.launch(ocr.home, ocr.target(releases / "one"))
    with pytest.raises(ServiceError, match="limits of connections and bodies") as caught:
        control.launch(cls.home, cls.target(releases / "large"))
    assert "`make deploy MODEL=cls` starts the service anew" in str(caught.value)


def test_what_all_share_is_not_changed_for_one_and_it_serves_on(
    both: tuple[Stage, Stage], releases: Path, tmp_path: Path
) -> None:
    ocr, cls = both
    served = replicas_of(cls)
    (tmp_path / "keys").write_text("a-key-of-enough-characters-0123456789\n")
    for changes in ({"keys_file": str(tmp_path / "keys")}, {"http_port": free_port()}):
        other = replace(cls.settings, **changes)
        with Asking(ocr.state) as asking, pytest.raises(ServiceError, match="only with the same"):
            switch(cls.home, replace(cls.target(releases / "second"), settings=other), accept)
        assert asking.problems == []
    assert (replicas_of(cls), cls.read()) == (served, "first")


def test_looser_limits_start_the_service_anew_with_all_that_it_served(
    ocr: Stage, cls: Stage, releases: Path
) -> None:
    switch(ocr.home, ocr.target(releases / "one"), accept)
    pid = ocr.state.pid
    switched = switch(cls.home, cls.target(releases / "large"), accept)
    assert "limits of connections and bodies changed" in switched.why_stopped
    assert ocr.state.pid == cls.state.pid != pid
    assert (ocr.read(), cls.read()) == ("one", "large")
    # Each of them keeps to its own.
    limits = {item["name"]: item["limits"]["max_body_bytes"] for item in get(ocr, "/")["pipelines"]}
    assert limits == {"ocr": 1024, "cls": 40_000_000}
    # Tighter ones need no new start, whoever has them.
    switch(cls.home, cls.target(releases / "small"), accept)
    assert (ocr.state.pid, cls.read()) == (switched.state.pid, "small")


def test_limits_that_one_which_has_left_needed_are_no_reason_for_a_new_start(
    ocr: Stage, cls: Stage, releases: Path
) -> None:
    switch(ocr.home, ocr.target(releases / "one"), accept)
    switch(cls.home, cls.target(releases / "large"), accept)
    control.stop(cls.home)
    pid = ocr.state.pid
    assert switch(ocr.home, ocr.target(releases / "two"), accept).why_stopped == ""
    assert (ocr.state.pid, ocr.read()) == (pid, "two")


def test_where_the_new_start_fails_all_that_served_serves_again(
    both: tuple[Stage, Stage], releases: Path
) -> None:
    ocr, cls = both
    with pytest.raises(SmokeError, match="something else"):
        switch(cls.home, cls.target(releases / "large"), refuse)
    assert (ocr.read(), cls.read()) == ("one", "first")
    assert deployed.read(cls.home).now == cls.target(releases / "first")  # type: ignore[union-attr]


def test_one_that_another_command_changes_is_not_started_anew_for_this_one(
    both: tuple[Stage, Stage], releases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ocr, cls = both
    pid = ocr.state.pid
    monkeypatch.setattr(switches, "_OTHERS_SECONDS", 0.2)
    with lock.exclusive(ocr.home, "deploy two"), pytest.raises(ServiceError, match="deploy two"):
        switch(cls.home, cls.target(releases / "large"), accept)
    assert (ocr.state.pid, ocr.read(), cls.read()) == (pid, "one", "first")


def test_nothing_is_stopped_where_one_of_the_others_could_not_be_started_again(
    ocr: Stage, cls: Stage, releases: Path, tmp_path: Path
) -> None:
    gone = make_release(tmp_path / "gone", "gone")
    switch(ocr.home, ocr.target(gone), accept)
    switch(cls.home, cls.target(releases / "first"), accept)
    pid = ocr.state.pid
    gone.rename(tmp_path / "elsewhere")
    with pytest.raises(
        ServiceError, match=r"(?s)gone is not there any more.*ocr would have to be started anew, too"
    ):
        switch(cls.home, cls.target(releases / "large"), accept)
    assert (ocr.state.pid, ocr.read(), cls.read()) == (pid, "gone", "first")


def test_a_service_that_is_started_anew_has_the_time_of_the_one_that_takes_longest_to_end(
    both: tuple[Stage, Stage], releases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, cls = both
    switch(
        cls.home,
        cls.target(make_release(tmp_path / "patient", "patient", name="cls", grace_seconds=9)),
        accept,
    )
    given = []

    def stop_group(group: int, grace: float) -> bool:
        given.append(grace)
        return real(group, grace)

    real = process.stop_group
    monkeypatch.setattr(process, "stop_group", stop_group)
    switch(cls.home, cls.target(releases / "large"), accept)
    assert given == [2 * 9 + 5]


@pytest.mark.parametrize("after", [False, True])
def test_who_interrupts_a_new_start_has_all_back_that_served(
    both: tuple[Stage, Stage], releases: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    ocr, cls = both
    pid = ocr.state.pid

    def interrupted(served: Sequence[State]) -> None:
        monkeypatch.setattr(control, "end", real)
        if after:
            real(served)
        else:
            os.kill(served[0].pid, signal.SIGTERM)
        raise KeyboardInterrupt

    real = control.end
    monkeypatch.setattr(control, "end", interrupted)
    with pytest.raises(KeyboardInterrupt):
        switch(cls.home, cls.target(releases / "large"), accept)
    assert (ocr.read(), cls.read()) == ("one", "first")
    assert ocr.state.pid == cls.state.pid != pid


def kill(state: State) -> None:
    os.kill(state.pid, signal.SIGKILL)
    while state.alive:
        time.sleep(0.01)
    raise SmokeError("it does not answer")


def test_a_service_that_ends_while_one_joins_it_serves_again_without_that(
    ocr: Stage, cls: Stage, releases: Path
) -> None:
    switch(ocr.home, ocr.target(releases / "one"), accept)
    with pytest.raises(SmokeError, match=r"(?s)does not answer.*the release before serves again"):
        switch(cls.home, cls.target(releases / "first"), kill)
    assert ocr.read() == "one"
    assert states.running(cls.home) is None


def test_a_service_that_is_told_to_end_while_one_joins_ends_and_who_waited_is_told(
    ocr: Stage, cls: Stage, releases: Path, tmp_path: Path
) -> None:
    late = make_release(tmp_path / "late", "late", start=5, name="cls")
    switch(ocr.home, ocr.target(releases / "one"), accept)
    service = ocr.state
    with ThreadPoolExecutor(1) as pool:
        joining = pool.submit(switch, cls.home, cls.target(late), accept)
        ocr.wait_for("it joins", lambda: states.running(cls.home) is not None)
        os.kill(service.pid, signal.SIGTERM)
        with pytest.raises(ServiceError, match="its service was told to end"):
            joining.result(20)
    ocr.wait_for("it ends", lambda: not service.alive)
    assert processes_of(ocr.home) == []


def test_a_service_that_ends_while_one_is_replaced_serves_again_with_all(
    both: tuple[Stage, Stage], releases: Path
) -> None:
    ocr, cls = both
    with pytest.raises(SmokeError, match=r"(?s)does not answer.*the release before serves again"):
        switch(cls.home, cls.target(releases / "second"), kill)
    assert (ocr.read(), cls.read()) == ("one", "first")
    assert ocr.state.pid == cls.state.pid


def test_one_for_the_ports_of_a_service_that_is_just_starting_waits_for_it(
    ocr: Stage, cls: Stage, releases: Path, tmp_path: Path
) -> None:
    make_release(tmp_path / "late", "late", start=2)
    with ThreadPoolExecutor(1) as pool:
        launched = pool.submit(control.launch, ocr.home, ocr.target(tmp_path / "late"))
        ocr.wait_for("it starts", lambda: states.running(ocr.home) is not None)
        switch(cls.home, cls.target(releases / "first"), accept)
        assert launched.result(20).pid == cls.state.pid
    assert (ocr.read(), cls.read()) == ("late", "first")


def test_one_moves_from_its_own_ports_to_those_of_another_and_back_if_it_is_refused(
    ocr: Stage, cls: Stage, releases: Path
) -> None:
    switch(ocr.home, ocr.target(releases / "one"), accept)
    own = replace(cls.settings, http_port=free_port(), grpc_port=free_port())
    at_own = replace(cls.target(releases / "first"), settings=own)
    switch(cls.home, at_own, accept)
    with pytest.raises(SmokeError, match=r"(?s)something else.*the release before serves again"):
        switch(cls.home, cls.target(releases / "second"), refuse)
    # What was only tried is not what a rollback goes to.
    assert deployed.read(cls.home) == deployed.Deployed(at_own)
    assert (cls.state.http_port, cls.read(), ocr.read()) == (own.http_port, "first", "one")
    switched = switch(cls.home, cls.target(releases / "large"), accept)
    assert "address" in switched.why_stopped
    assert ocr.state.pid == cls.state.pid
    assert (ocr.read(), cls.read()) == ("one", "large")


def test_one_that_moves_to_other_ports_leaves_the_other_where_it_is(
    both: tuple[Stage, Stage], releases: Path
) -> None:
    ocr, cls = both
    elsewhere = replace(cls.settings, http_port=free_port(), grpc_port=free_port())
    switch(cls.home, replace(cls.target(releases / "first"), settings=elsewhere), accept)
    assert cls.state.pid != ocr.state.pid
    assert (ocr.read(), cls.read()) == ("one", "first")


def test_a_service_starts_with_several(ocr: Stage, cls: Stage, releases: Path) -> None:
    also = Start(cls.home, cls.target(releases / "first"))
    control.launch(ocr.home, ocr.target(releases / "one"), others=[also])
    assert ocr.state.pid == cls.state.pid
    assert (ocr.read(), cls.read()) == ("one", "first")
    assert deployed.read(cls.home) is not None


def test_where_one_cannot_start_none_does(ocr: Stage, cls: Stage, releases: Path) -> None:
    also = Start(cls.home, cls.target(releases / "crashing"))
    with pytest.raises(ServiceError, match="it was told to fail"):
        control.launch(ocr.home, ocr.target(releases / "one"), others=[also])
    assert states.running(ocr.home) is states.running(cls.home) is None
    assert processes_of(ocr.home) == []


def test_where_one_cannot_start_while_another_starts_it_is_told_why(
    ocr: Stage, cls: Stage, releases: Path, tmp_path: Path
) -> None:
    late = make_release(tmp_path / "late", "late", start=2)
    also = Start(cls.home, cls.target(releases / "crashing"))
    with pytest.raises(ServiceError, match="it was told to fail"):
        control.launch(ocr.home, ocr.target(late), others=[also])
    assert processes_of(ocr.home) == []


def test_the_logs_of_one_are_not_those_of_the_others_replicas(both: tuple[Stage, Stage]) -> None:
    assert [here.read() for here in both] == ["one", "first"]
    # It is written in the background.
    both[0].wait_for("requests are logged", (Path(both[0].state.run_dir) / "access.log").is_file)
    found = [{str(path.relative_to(here.state.run_dir)) for path in runs.logs(here.home)} for here in both]
    assert found[0] & found[1] == {"access.log", "service.log"}
    assert all(any(name.startswith("replica-") for name in names) for names in found)


def test_the_logs_are_those_of_the_service_that_it_joined_though_it_ran_by_itself_later(
    ocr: Stage, cls: Stage, releases: Path
) -> None:
    control.launch(ocr.home, ocr.target(releases / "one"))
    time.sleep(1)  # Runs are named by the second.
    own = replace(cls.settings, http_port=free_port(), grpc_port=free_port())
    control.launch(cls.home, replace(cls.target(releases / "first"), settings=own))
    control.stop(cls.home)
    switch(cls.home, cls.target(releases / "first"), accept)
    assert Path(ocr.state.run_dir) / "service.log" in runs.logs(cls.home)
    control.stop(cls.home)
    with pytest.raises(ServiceError):
        switch(cls.home, cls.target(releases / "crashing"), accept)
    assert Path(ocr.state.run_dir) / "service.log" in runs.logs(cls.home)


def test_two_folders_of_one_pipeline_are_not_served_side_by_side(ocr: Stage, releases: Path) -> None:
    switch(ocr.home, ocr.target(releases / "one"), accept)
    with pytest.raises(ServiceError, match="ocr is served here already, from another folder"):
        switch(ocr.home.parent / "copy", ocr.target(releases / "two"), accept)
    assert ocr.read() == "one"


def test_two_releases_of_one_pipeline_are_not_served_side_by_side(
    cls: Stage, releases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.execv", lambda *_: pytest.fail("something is started"))
    starts = [Start(cls.home, cls.target(releases / name)) for name in ("first", "second")]
    with pytest.raises(ServiceError, match="first and second are releases of one pipeline, cls"):
        control.serve(starts)
    assert not cls.home.exists()


def test_a_service_that_takes_no_commands_is_not_waited_for(ocr: Stage, cls: Stage, releases: Path) -> None:
    switch(ocr.home, ocr.target(releases / "one"), accept)
    (Path(ocr.state.run_dir) / "control.sock").unlink()
    with pytest.raises(ServiceError, match="its service takes no commands"):
        switch(cls.home, cls.target(releases / "first"), accept)
    assert ocr.read() == "one"


def test_who_stops_one_that_leaves_already_waits_for_it_and_who_deploys_it_has_it_join_again(
    ocr: Stage, cls: Stage, releases: Path
) -> None:
    switch(ocr.home, ocr.target(releases / "one"), accept)
    switch(cls.home, cls.target(releases / "slow"), accept)
    service = ocr.state
    with ThreadPoolExecutor(4) as pool:
        request = pool.submit(cls.read)
        cls.wait_for("it is asked", lambda: 'in_flight{pipeline="cls"} 1.0' in ocr.metrics())
        # As a command does that was killed: it holds no lock any more.
        stops = [pool.submit(_leave, service, cls.home)]
        cls.wait_for("it leaves", lambda: states.read(cls.home).status == "stopping")  # type: ignore[union-attr]
        stops.append(pool.submit(_leave, service, cls.home))
        switch(cls.home, cls.target(releases / "first"), accept)
        assert [stop.result(20) for stop in stops] == [{"done": True}] * 2
        assert request.result(20) == "slow"
    assert (ocr.read(), cls.read(), cls.state.pid) == ("one", "first", service.pid)
    assert len(processes_of(ocr.home)) == 3


def _leave(service: State, home: Path) -> dict[str, Any]:
    with conversation(Path(service.run_dir), home) as talk:
        return talk.ask("leave")


def test_who_deploys_one_that_a_killed_command_was_just_having_join_has_it_join(
    ocr: Stage, cls: Stage, releases: Path, tmp_path: Path
) -> None:
    late = make_release(tmp_path / "late", "late", start=5, name="cls")
    switch(ocr.home, ocr.target(releases / "one"), accept)
    with ThreadPoolExecutor(1) as pool:
        joining = pool.submit(switch, cls.home, cls.target(late), accept)
        ocr.wait_for("it joins", lambda: states.running(cls.home) is not None)
        # That its command is gone is not noticed at once.
        switch(cls.home, cls.target(releases / "first"), accept)
        with pytest.raises(ServiceError):
            joining.result(20)
    assert (ocr.read(), cls.read()) == ("one", "first")
    assert len(processes_of(ocr.home)) == 3


def test_what_is_taken_back_answers_its_requests_though_its_pipeline_leaves(
    both: tuple[Stage, Stage], releases: Path
) -> None:
    ocr, cls = both
    target = cls.target(releases / "slow")
    with ThreadPoolExecutor(1) as pool:
        with conversation(Path(ocr.state.run_dir), cls.home) as talk:
            assert "shifted" in talk.ask("shift", target=target.to_json(), front=_front_of(ocr, releases))
            request = pool.submit(cls.read)
            cls.wait_for("it is asked", lambda: 'in_flight{pipeline="cls"} 1.0' in ocr.metrics())
        cls.wait_for("it is taken back", lambda: cls.state.release == str(releases / "first"))
        control.stop(cls.home)
        assert request.result(20) == "slow"
    time.sleep(1)
    assert len(processes_of(ocr.home)) == 2
