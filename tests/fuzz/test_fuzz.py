from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.fuzz import run as runs
from tests.fuzz.run import Target, keep, run
from tests.fuzz.targets import all_targets

TARGETS = {target.name: target for target in all_targets()}


@pytest.mark.parametrize("name", TARGETS)
def test_no_parser_of_client_input_crashes_within_a_second(name: str) -> None:
    outcome = run(TARGETS[name], seconds=1.0, seed=1)
    assert outcome.crash is None, (outcome.crash, outcome.input)
    assert outcome.executions > 50


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_has_an_input_that_is_right(name: str) -> None:
    target, right = TARGETS[name], 0
    for seed in target.seeds:
        try:
            target.parse(seed)
            right += 1
        except target.expected:
            continue
    assert right


def test_a_bug_behind_a_length_field_is_found_and_its_input_kept(tmp_path: Path) -> None:
    def parse(data: bytes) -> None:
        if len(data) < 6 or data[:2] != b"OK":
            raise ValueError("no")
        if data[2] > 0x7E:
            raise KeyError(data[2])

    outcome = run(Target("planted", parse, (ValueError,), [b"OK\x01abc"]), seconds=5, seed=1)
    assert outcome.crash is not None
    assert "KeyError" in outcome.crash
    assert keep(outcome, tmp_path).read_bytes() == outcome.input


def test_an_input_that_takes_too_long_is_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "SLOWEST", 0.02)

    def parse(data: bytes) -> None:
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass

    outcome = run(Target("slow", parse, (), [b"x"]), seconds=5, seed=1)
    assert outcome.crash is not None
    assert "took" in outcome.crash
