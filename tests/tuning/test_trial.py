"""Configurations as real services, whose replicas run no model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import pytest

from tests.fakes import png
from tests.processes import processes_of
from tests.supervisor.stage import ROOT, make_release
from toolkit.errors import ServiceError
from toolkit.supervisor import control
from toolkit.tuning import load, trial
from toolkit.tuning.results import Point
from toolkit.tuning.space import Configuration
from toolkit.tuning.trial import Aim, Load

CONFIGURATION = Configuration({"variant": "release", "replicas": 2, "threads": 1, "workers": 2})
TWO_CLIENTS = Aim(2)
DEMAND = Load([png(64), png(80)], (1, 2, 4), 0.3)


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Of services that are gone in the end, with all they started."""
    monkeypatch.setattr(control, "MODULE", "tests.supervisor.service")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
    yield tmp_path / "scratch"
    left = processes_of(tmp_path)
    for process in left:
        process.kill()
    assert not left, f"left behind: {left}"
    assert not (tmp_path / "scratch").exists()


def rendering(**release: Any) -> Callable[[Configuration, Path], None]:
    def render(configuration: Configuration, directory: Path) -> None:
        directory.rmdir()
        serving = {name: configuration.values[name] for name in ("replicas", "threads", "workers")}
        make_release(directory, "a line", **{**serving, **release})

    return render


def measure(scratch: Path, aim: Aim = TWO_CLIENTS, **release: Any) -> trial.Result:
    return trial.measure(scratch, CONFIGURATION, rendering(**release), DEMAND, aim)


def test_a_configuration_is_measured_until_more_clients_gain_nothing(scratch: Path) -> None:
    result = measure(scratch, Aim(1), delay=0.05)
    assert not result.refused
    assert [point.clients for point in result.points[:2]] == [1, 2]
    assert result.points[0].p50 >= 50
    assert result.points[1].throughput > 1.3 * result.points[0].throughput
    assert result.memory > 50
    assert result.seconds > 1


def test_where_the_first_phase_is_too_slow_fewer_clients_are_tried(scratch: Path) -> None:
    result = measure(scratch, Aim(4, p99=1), delay=0.05)
    assert [point.clients for point in result.points] == [1, 2, 4]


def test_they_are_not_where_they_cannot_reach_what_others_do(scratch: Path) -> None:
    result = measure(scratch, Aim(4, p99=1, throughput=1000), delay=0.05)
    assert [point.clients for point in result.points] == [4]


def test_a_configuration_that_gives_other_answers_is_refused(scratch: Path) -> None:
    result = measure(scratch, answer="another line")
    assert result.refused
    assert result.points == ()


def test_a_configuration_that_does_not_start_is_refused(scratch: Path) -> None:
    result = measure(scratch, fails=1000, start_seconds=2)
    assert result.refused


def test_an_interruption_leaves_nothing_behind(scratch: Path) -> None:
    with pytest.raises(KeyboardInterrupt), trial.running(scratch, CONFIGURATION, rendering(), DEMAND):
        raise KeyboardInterrupt


def test_a_service_that_a_killed_run_left_is_ended(scratch: Path) -> None:
    made = trial.running(scratch / "trial", CONFIGURATION, rendering(), DEMAND)
    service = made.__enter__()
    assert service.memory() > 50
    assert processes_of(scratch)
    trial.end_all(scratch)
    assert not processes_of(scratch)
    with pytest.raises(ServiceError, match="ended while it was measured"):
        service.memory()
    made.__exit__(None, None, None)
    scratch.rmdir()


@pytest.mark.parametrize(
    ("bears", "aim", "expected"),
    [
        (8, Aim(2), [2, 4, 8]),
        (4, Aim(2), [2, 4]),
        (4, Aim(8), [4]),
        (1, Aim(8), [1]),
        (8, Aim(8, p99=250), [2, 4, 8]),
        (8, Aim(8, p99=250, throughput=50), [4, 8]),
    ],
)
def test_more_clients_than_have_their_answers_in_time_are_no_point(
    monkeypatch: pytest.MonkeyPatch, bears: int, aim: Aim, expected: list[int]
) -> None:
    """A service that answers ten times a second for each client, after 100 ms for each."""

    def phase(_: str, __: str, ___: Any, clients: int, *____: Any) -> tuple[Point, list[float]]:
        if clients > bears:
            raise load.TooSlow("no answer")
        return Point(clients, 10.0 * clients, 100.0 * clients, 100.0 * clients, 9), []

    monkeypatch.setattr(load, "phase", phase)
    plan: Any = SimpleNamespace(name="ocr", accepts="image", limits=SimpleNamespace(deadline_seconds=1))
    state: Any = SimpleNamespace(http_url="")
    service = trial.Running(state, plan, Load([b"image"], (1, 2, 4, 8), 1))
    assert [point.clients for point in service.climb(aim)] == expected
