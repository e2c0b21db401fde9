from __future__ import annotations

import math
from typing import Any

import pytest

from toolkit.report import text


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, "7", True])
def test_what_is_no_number_is_a_dash(missing: Any) -> None:
    for shown in (text.number, text.percent, text.points, text.size, text.duration, text.significant):
        assert shown(missing) == "–"


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (text.number(1234.5, 2, "ms"), "1,234.50 ms"),
        (text.points(-0.004), "0.00"),
        (text.points(-0.2), "−0.20"),
        (text.percent(0.93), "93.0 %"),
        (text.size(1_300_000), "1.30 MB"),
        (text.duration(8.25), "8.2 s"),
        (text.duration(125.9), "2 min 5 s"),
        (text.significant(0.04731), "0.0473"),
        (text.significant(-1.2e-7), "−1.2e−07"),
        (text.interval(-0.15, 0.48), "−0.15 to 0.48"),
        (text.interval(None, 0.48), "up to 0.48"),
        (text.interval(None, None), ""),
        (text.counted(1, "sample"), "1 sample"),
        (text.counted(4300, "line"), "4,300 lines"),
        (text.listed([]), ""),
        (text.listed(["a"]), "a"),
        (text.listed(["a", "b", "c"]), "a, b and c"),
        (text.listed(["a", "b", "c"], 2), "a, b and 1 more"),
        (text.plain({"a": [1, None], "b": {}}), "a: 1, –, b: –"),
    ],
)
def test_figures_are_written_as_people_read_them(found: str, shown: str) -> None:
    assert found == shown
