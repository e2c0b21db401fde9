"""A release on trial: it takes over if it does as well as what serves, and is taken back by itself if it does not."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.supervisor.stage import ROOT, Asking, Stage, accept, make_release, stage
from toolkit.errors import CanaryError, ServiceError
from toolkit.serving.release import RELEASE_FILE
from toolkit.supervisor import control, deployed
from toolkit.supervisor.switch import CanaryRequest, switch

TEXT = "what both of them read"

# A time that an interpreter and a busy machine change little of.
DELAY = 0.02


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("releases")
    made: Mapping[str, Mapping[str, Any]] = {
        "good": {},
        "equal": {},
        "misreading": {"text": "what both 0f them read"},
        "slow": {"delay": 3 * DELAY},
        "ending": {"ends_at": 15},
        "long": {"canary": {"steps": [], "interval_seconds": 600}},
        "rare": {"canary": {"steps": [], "min_requests": 10**6, "inconclusives": 1}},
    }
    for name, changes in made.items():
        make_release(folder / name, **{"text": TEXT, "delay": DELAY, "standby": "none", **changes})
    return folder


@pytest.fixture(scope="module")
def shared(
    releases: Path, tmp_path_factory: pytest.TempPathFactory, patched: pytest.MonkeyPatch
) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("canary"), patched, replicas=2) as made:
        control.launch(made.home, made.target(releases / "good"))
        yield made


@pytest.fixture
def running(shared: Stage, releases: Path) -> Stage:
    """The service of `good`."""
    if shared.state.target != shared.target(releases / "good"):
        switch(shared.home, shared.target(releases / "good"), accept)
    shared.wait_for("all is well", lambda: [state for _, state in shared.replicas()] == ["ready"] * 2)
    return shared


def tried(
    running: Stage, path: Path, percent: float = 20
) -> tuple[Asking, list[Mapping[str, Any]], Exception | None]:
    """What became of a canary: what clients saw, its analyses, and why it was taken back."""
    analyses: list[Mapping[str, Any]] = []
    with Asking(running.state) as asking:
        running.wait_for("answers", lambda: sum(asking.answers.values()) > 10)
        try:
            switch(running.home, running.target(path), accept, CanaryRequest(percent, analyses.append))
        except (CanaryError, ServiceError) as error:
            return asking, analyses, error
        running.wait_for("answers", lambda: sum(asking.answers.values()) > 10)
    return asking, analyses, None


def test_a_release_that_does_as_well_goes_all_steps_and_serves(running: Stage, releases: Path) -> None:
    asking, analyses, error = tried(running, releases / "equal")
    assert (error, asking.problems) == (None, [])
    assert running.state.target == running.target(releases / "equal")
    passed = [item["percent"] for item in analyses if item["result"] == "success"]
    assert passed == [20, 30]
    names = [[item["name"] for item in each["measurements"]] for each in analyses]
    assert names == [["errors", "latency", "answers"]] * len(analyses)
    text = running.metrics()
    assert 'serving_canary_ratio{pipeline="ocr"} 0.0' in text
    assert (
        'serving_canary_analyses_total{measurement="answers",pipeline="ocr",result="success"} 0.0' not in text
    )
    assert deployed.read(running.home).now == running.target(releases / "equal")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("misreading", r"answers differ by 4.55 % .*limit 2 %"),
        ("slow", r"latency is [\d.]+ times the other's .*limit 1.5 times"),
        ("ending", r"errors are [\d.]+ % .*limit 1 %"),
    ],
)
def test_a_release_that_is_worse_is_taken_back_and_costs_no_answer(
    running: Stage, releases: Path, name: str, reason: str
) -> None:
    pid, replicas = running.state.pid, [item["pid"] for item in running.state.replicas]
    asking, analyses, error = tried(running, releases / name)
    assert isinstance(error, CanaryError)
    assert re.search(f"does worse than what serves.*{reason}", error.message), error.message
    assert "good serves on" in error.message
    assert asking.problems == []
    assert analyses[-1]["result"] == "failure"
    assert (running.state.pid, running.state.target) == (pid, running.target(releases / "good"))
    running.wait_for(
        "nothing is left of it", lambda: [item["pid"] for item in running.state.replicas] == replicas
    )
    assert 'serving_rollouts_total{pipeline="ocr",result="canary_failed"} 0.0' not in running.metrics()
    assert deployed.read(running.home).now == running.target(releases / "good")  # type: ignore[union-attr]


def test_too_few_requests_to_tell_take_it_back_too_and_say_so(running: Stage, releases: Path) -> None:
    _, analyses, error = tried(running, releases / "rare")
    assert isinstance(error, CanaryError)
    assert "could not be told from what serves" in error.message
    assert [item["result"] for item in analyses] == ["inconclusive"] * 2
    assert running.state.target == running.target(releases / "good")


def test_a_canary_is_refused_where_the_service_has_to_be_stopped(running: Stage, releases: Path) -> None:
    pid = running.state.pid
    target = replace(running.target(releases / "equal"), settings=replace(running.settings, host="0.0.0.0"))
    with pytest.raises(
        ServiceError, match="it has to be stopped for this release, since the address changed"
    ):
        switch(running.home, target, accept, CanaryRequest(10, lambda analysis: None))
    assert running.state.pid == pid
    assert running.read() == TEXT


def test_a_canary_is_refused_where_clients_bring_what_the_release_does_not_take(
    running: Stage, releases: Path
) -> None:
    path = releases / "of texts"
    shutil.copytree(releases / "equal", path)
    plan = yaml.safe_load((path / RELEASE_FILE).read_text())
    (path / RELEASE_FILE).write_text(yaml.safe_dump({**plan, "accepts": "text"}))
    with pytest.raises(ServiceError, match="clients bring, which is image, and the release takes text"):
        switch(running.home, running.target(path), accept, CanaryRequest(10, lambda analysis: None))
    assert running.read() == TEXT


COMMAND = """
import sys
from pathlib import Path
from toolkit.supervisor.deployed import Target
from toolkit.supervisor.settings import Settings
from toolkit.supervisor.switch import CanaryRequest, switch
target = Target(sys.argv[2], Settings("127.0.0.1", *map(int, sys.argv[3:6])))
switch(Path(sys.argv[1]), target, lambda state: None, CanaryRequest(50, print))
"""


@pytest.mark.parametrize("ended", ["command", "service"])
def test_what_ends_the_command_or_the_service_ends_the_canary(
    running: Stage, releases: Path, ended: str
) -> None:
    settings = running.settings
    ports = [settings.http_port, settings.grpc_port, settings.replicas]
    argv = [str(running.home), str(releases / "long"), *map(str, ports)]
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, *argv], cwd=ROOT, stderr=subprocess.DEVNULL
    ) as command:
        running.wait_for("it has a share", lambda: "long has 50 % of the requests" in running.state.note)
        if ended == "service":
            control.stop(running.home)
        else:
            command.send_signal(signal.SIGKILL)
    if ended == "service":
        control.launch(running.home, deployed.read(running.home).now)  # type: ignore[union-attr]
    running.wait_for("it is taken back", lambda: running.processes() == 3 and not running.state.note)
    assert running.state.target == running.target(releases / "good")
    assert deployed.read(running.home).now == running.target(releases / "good")  # type: ignore[union-attr]
