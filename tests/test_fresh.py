from __future__ import annotations

from pathlib import Path

import yaml

from tests.fresh import __main__ as fresh
from tests.fresh.__main__ import Start


def start(ready: float, requests: list[float]) -> Start:
    return Start(ready, ready / 2, 600, requests, [seconds / 2 for seconds in requests])


def test_each_pair_is_compared_and_each_way_has_its_median() -> None:
    found = {
        "without": [start(2.0, [1.0, 0.5]), start(4.0, [1.0, 0.6]), start(3.0, [1.0, 0.7])],
        "with": [start(4.0, [0.5, 0.5]), start(6.0, [0.6, 0.6]), start(6.0, [0.7, 0.7])],
    }
    rows = [line.split() for line in fresh.text(found)]
    assert ["until", "ready,", "s", "3.0", "6.0", "2.00,", "1.50,", "2.00"] in rows
    assert ["first", "request,", "ms", "1000", "600", "0.50,", "0.60,", "0.70"] in rows


def test_the_release_with_a_warm_up_is_the_same_but_for_that(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "models").mkdir(parents=True)
    (source / "release.yml").write_text("name: ocr\nlimits: {threads: 1}\n")
    made = fresh._release(source, tmp_path / "made", 2.0)
    assert yaml.safe_load((made / "release.yml").read_text()) == {
        "name": "ocr",
        "limits": {"threads": 1, "warm_seconds": 2.0},
    }
    assert (made / "models").resolve() == (source / "models").resolve()
    assert "warm_seconds" not in (source / "release.yml").read_text()
