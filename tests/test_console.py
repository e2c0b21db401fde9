from __future__ import annotations

import pytest

from toolkit import console
from toolkit.console import Console


def work(told: Console) -> None:
    with told.working("quantize", "det") as progress:
        progress(1, 2)
        progress(2, 2)


def test_a_stage_that_worked_is_one_line_with_its_time_on_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = Console()
    work(told)
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.split()[:2] == ["quantize", "det"]
    assert line.endswith(" s")
    assert told.ran == ["quantize det"]


def test_a_quiet_console_prints_nothing_and_still_knows_what_ran(capsys: pytest.CaptureFixture[str]) -> None:
    told = Console(quiet=True, verbose=True)
    work(told)
    told.say("text")
    told.unchanged("export", "det")
    assert capsys.readouterr() == ("", "")
    assert told.ran == ["quantize det"]


@pytest.mark.parametrize(("verbose", "lines"), [(False, 0), (True, 1)])
def test_what_is_unchanged_is_told_on_request_only(
    capsys: pytest.CaptureFixture[str], verbose: bool, lines: int
) -> None:
    told = Console(verbose=verbose)
    told.unchanged("export", "det")
    err = capsys.readouterr().err
    assert len(err.splitlines()) == lines
    assert ("unchanged" in err) is verbose
    assert told.ran == []


def test_a_stage_that_failed_is_not_told_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), Console().working("export", "det"):
        raise RuntimeError
    assert capsys.readouterr().err == ""


def test_without_a_terminal_long_work_is_told_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter(range(0, 10_000, 30))
    monkeypatch.setattr(console.time, "monotonic", lambda: next(seconds))
    with Console().working("measure", "det-int8") as progress:
        for done in range(1, 6):
            progress(done, 5)
    lines = [line.split()[2:] for line in capsys.readouterr().err.splitlines()]
    assert lines == [["3", "of", "5"], ["5", "of", "5"], ["180.0", "s"]]
