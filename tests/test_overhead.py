from __future__ import annotations

import pytest

from tests import overhead


def test_every_way_is_the_first_of_a_round_and_the_first_rounds_do_not_count() -> None:
    asked: list[str] = []
    ways = {way: lambda way=way: asked.append(way) for way in "abc"}
    seconds = overhead.measure(ways, 6)
    assert {way: len(times) for way, times in seconds.items()} == {"a": 6, "b": 6, "c": 6}
    assert set(asked[::3]) == {"a", "b", "c"}


def test_what_a_way_adds_is_told_in_milliseconds() -> None:
    found = overhead.figures({overhead.DIRECTLY: [0.2, 0.3, 0.1], "http": [0.203, 0.302, 0.101]})
    assert found["http"]["p50_ms"] == pytest.approx(203)
    assert found["http"]["added_ms"] == pytest.approx(3)
    assert found[overhead.DIRECTLY]["added_ms"] == 0
