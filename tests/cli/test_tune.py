"""`toolkit tune` as people and programs see it; what it found is planted."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pytest
from click.testing import CliRunner, Result

from tests.tuning import synthetic
from toolkit.cli import tune as command
from toolkit.stages.context import Context
from toolkit.supervisor import state as states
from toolkit.tuning import run as tuning
from toolkit.tuning import space
from toolkit.tuning.contest import Final
from toolkit.tuning.final import Side, judge
from toolkit.tuning.results import Bounds
from toolkit.tuning.results import Result as Measured
from toolkit.tuning.run import Tuning, Wanted

SPACE = space.of(synthetic.spec(), 2, ("release",))
DEFAULT, OTHER, *_ = SPACE.configurations
RESULTS = [
    synthetic.measure(DEFAULT),
    synthetic.measure(OTHER),
    Measured(SPACE.configurations[2], refused="00.jpg: line 26: expected score 0.95, got 0.97"),
]


def found(folder: Path, gain: float) -> Tuning:
    default, best = Side(4, [4.0] * 3, [900.0] * 30), Side(4, [4.0 * gain] * 3, [900.0] * 30)
    verdict = judge(default, best, 1000, fixed=True)
    final = Final(RESULTS[1], default, best, verdict)
    chosen = OTHER if verdict.taken else DEFAULT
    return Tuning(SPACE, Bounds(1000, 4000), RESULTS, chosen, final, verdict.reason, folder)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    calls: list[Any] = [1.2]

    def run(context: Context, wanted: Wanted) -> Tuning:
        calls.append((context, wanted))
        return found(tmp_path, calls[0])

    monkeypatch.setattr(tuning, "run", run)
    return calls


def run(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner(mix_stderr=False).invoke(
        command.tune_command, ["--build", str(tmp_path / "build"), *arguments]
    )


def test_it_prints_what_nothing_beats_what_was_refused_and_the_choice(asked: Any, tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "bound 1000 ms, 4000 MB" in result.stdout
    assert "    4.00     1000     1000   2000       4  the default\n" in result.stdout
    assert "the default: 4.00 a second, p99 1000 ms with 4 clients, 2000 MB" in result.stdout
    assert "refused: 00.jpg: line 26: expected score 0.95" in result.stdout
    assert "1.20 times the throughput in turn" in result.stdout
    assert f"`make deploy` uses it: {tmp_path / 'build' / 'ocr' / 'tuning.yml'}" in result.stdout
    assert "tuning.svg" in result.stdout


def test_it_says_that_the_default_stays(asked: Any, tmp_path: Path) -> None:
    asked[0] = 1.0
    assert "the default stays: 1.00 times the throughput" in run(tmp_path).stdout


def test_programs_get_one_object_and_the_record_of_the_command(asked: Any, tmp_path: Path) -> None:
    told = json.loads(run(tmp_path, "--json").stdout)
    assert (told["command"], told["exit_code"]) == ("tune", 0)
    assert told["chosen"] == OTHER.values
    assert told["final"]["verdict"]["ratio"] == pytest.approx(1.2)
    assert json.loads((tmp_path / "build" / "ocr" / "result.json").read_text()) == told


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ((), Wanted()),
        (("--target-p99", "800", "--memory-mb", "3000", "--budget", "5m"), Wanted(800, 3000, 300)),
    ],
)
def test_what_is_asked_for_goes_before_what_the_spec_says(
    asked: Any, tmp_path: Path, arguments: tuple[str, ...], wanted: Wanted
) -> None:
    run(tmp_path, *arguments)
    context, found_wanted = asked[1]
    assert found_wanted == wanted
    # That budget is not the one of the search for INT8, which is a part of what was built.
    assert context.budget is None


def test_what_was_built_with_a_budget_of_its_own_is_found_again(asked: Any, tmp_path: Path) -> None:
    run(tmp_path, "--search-budget", "90s")
    context, wanted = asked[1]
    assert (context.budget, wanted.budget) == (90, None)


@pytest.mark.parametrize("arguments", [("--target-p99", "0"), ("--memory-mb", "-1"), ("--budget", "soon")])
def test_what_makes_no_sense_is_refused(asked: Any, tmp_path: Path, arguments: tuple[str, str]) -> None:
    assert run(tmp_path, *arguments).exit_code == 2
    assert len(asked) == 1


@pytest.mark.parametrize("running", [None, SimpleNamespace(name="ocr", pid=4711)])
def test_a_service_that_shares_the_cores_is_told(
    asked: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: Optional[Any]
) -> None:
    monkeypatch.setattr(states, "running", lambda _: running)
    assert ("process 4711" in run(tmp_path).stderr) == (running is not None)
