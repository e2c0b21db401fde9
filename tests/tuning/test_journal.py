from __future__ import annotations

from pathlib import Path

import pytest

from tests.tuning.synthetic import measure, spec
from toolkit.tuning import space
from toolkit.tuning.journal import Journal

CONDITIONS = {"release": "abc", "clients": (1, 2)}
FIRST, SECOND, *_ = (measure(each) for each in space.of(spec(), 2, ("release",)).configurations)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    journal = Journal(tmp_path / "tuning" / "journal.jsonl", CONDITIONS)
    journal.add(FIRST)
    journal.add(SECOND)
    return tmp_path / "tuning" / "journal.jsonl"


def test_a_run_that_was_broken_off_is_taken_up(path: Path) -> None:
    journal = Journal(path, CONDITIONS)
    assert (journal.results, journal.resumed) == ([FIRST, SECOND], 2)


def test_a_run_that_was_finished_makes_way(path: Path) -> None:
    Journal(path, CONDITIONS).finish()
    assert Journal(path, CONDITIONS).results == []
    assert Journal(path, CONDITIONS).results == []


def test_what_was_measured_under_other_conditions_makes_way(path: Path) -> None:
    assert Journal(path, {**CONDITIONS, "release": "def"}).results == []


def test_a_line_that_was_torn_is_left_out_and_costs_no_other(path: Path) -> None:
    with path.open("a") as file:
        file.write('{"configuration": {"wor')
    journal = Journal(path, CONDITIONS)
    assert journal.results == [FIRST, SECOND]
    journal.add(FIRST)
    assert Journal(path, CONDITIONS).results == [FIRST, SECOND, FIRST]
