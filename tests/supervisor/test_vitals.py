from __future__ import annotations

import pytest

from toolkit.supervisor.vitals import Vitals


def looks(*at: tuple[float, int, bool]) -> list[float]:
    vitals = Vitals(0.0)
    return [vitals.look(now, pulse, busy) for now, pulse, busy in at]


def steps(begin: float, end: float, pulse: int, busy: bool) -> list[tuple[float, int, bool]]:
    return [(begin + tick / 4, pulse, busy) for tick in range(int((end - begin) * 4) + 1)]


def test_a_replica_that_works_is_never_silent_however_long_a_request_takes() -> None:
    assert max(looks(*((now / 4, now, True) for now in range(400)))) == 0


def test_a_replica_that_has_nothing_to_do_is_not_silent() -> None:
    assert max(looks(*steps(0, 60, pulse=7, busy=False))) == 0


def test_silence_is_counted_from_the_last_sign_of_life() -> None:
    assert looks(*steps(0, 2, 1, True), *steps(2.25, 5, 2, True))[-1] == pytest.approx(2.75)


def test_silence_begins_with_the_work_and_not_with_the_idle_time_before() -> None:
    assert looks(*steps(0, 50, 1, False), *steps(50.25, 53, 1, True))[-1] == pytest.approx(3.0)


def test_time_in_which_nobody_could_look_tells_nothing() -> None:
    before = steps(0, 2, 1, True)
    assert looks(*before, (600.0, 1, True))[-1] == pytest.approx(2.0)
