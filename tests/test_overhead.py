from __future__ import annotations

import pytest

from tests import overhead
from tests.overhead import DIRECTLY, Time


def test_every_way_is_the_first_of_a_round_and_the_first_rounds_do_not_count() -> None:
    asked: list[str] = []

    def way(name: str) -> overhead.Ask:
        return lambda: float(asked.append(name) or 0.25)

    times = overhead.measure({name: way(name) for name in "abc"}, 6)
    assert {name: [one.own for one in all_] for name, all_ in times.items()} == dict.fromkeys(
        "abc", [0.25] * 6
    )
    assert set(asked[::3]) == {"a", "b", "c"}


def test_what_a_way_adds_is_told_without_the_replicas_own_time() -> None:
    direct = [Time(0.202, 0.2), Time(0.302, 0.3), Time(0.102, 0.1)]
    found = overhead.figures(
        {DIRECTLY: direct, "http": [Time(0.405, 0.4), Time(0.105, 0.1), Time(0.905, 0.9)]}
    )
    assert found["http"]["whole_ms"] == pytest.approx(405)
    assert found["http"]["beyond_ms"] == pytest.approx(5)
    assert found["http"]["added_ms"] == pytest.approx(3)
    assert found[DIRECTLY]["added_ms"] == 0


def test_the_replicas_own_time_is_that_of_its_stages() -> None:
    header = "queue;dur=9.0, decode;dur=1.5, det.inference;dur=20.0, total;dur=99.9"
    assert overhead.replicas_own(header) == pytest.approx(0.0215)
