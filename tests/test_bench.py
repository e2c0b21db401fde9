"""The pieces of the benchmark: figures, processes, load; that they measure real models is left to `make bench`."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.bench import __main__ as bench
from tests.bench import contestants, feeds, models
from tests.bench.contestants import Read, rapidocr
from tests.bench.feeds import Fed, Feed
from tests.bench.figures import ratio, table
from tests.bench.load import in_turn, meet, saturate
from tests.bench.models import Way
from tests.bench.service import cpu_seconds
from tests.bench.worker import Missing, Worker
from toolkit import process
from toolkit.engines.options import PredictorOptions


def length(text: str) -> Read:
    """Answers how long the image is."""

    def read(image: bytes) -> dict[str, Any]:
        if not image:
            raise ValueError("there is nothing in it")
        return {"text": f"{text} {len(image)} on {sorted(os.sched_getaffinity(0))}"}

    return read


def fall(text: str) -> Callable[[Any], Any]:
    """Ends its process."""
    print("the last words", flush=True)
    os._exit(int(text))


def test_the_median_of_the_rounds_counts_and_chance_is_that_of_the_images() -> None:
    rows = table(
        {"one": [[1, 1, 9], [2, 2, 2], [3, 3, 3]], "other": [[2, 2, 2], [4, 9, 4], [6, 6, 6]]}, "one"
    )
    assert rows["one"] == {"milliseconds": 2000, "times": 1, "low": 1, "high": 1}
    assert rows["other"]["times"] == 2
    # Twice as long for every image: there is nothing left to chance.
    assert rows["other"]["low"] == pytest.approx(2)
    assert rows["other"]["high"] == pytest.approx(2)


def test_the_less_the_images_agree_the_wider_the_interval() -> None:
    middle, low, high = ratio([[1.0]] * 4 + [[3.0]] * 4, [[1.0]] * 8)
    assert middle == 2
    assert 1.2 < low < 1.5
    assert 2.5 < high < 2.8


def test_each_answers_in_a_process_of_its_own_on_its_core_and_an_error_says_why(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    image, empty = tmp_path / "image", tmp_path / "empty"
    image.write_bytes(b"12345")
    empty.touch()
    with Worker(contestants.timed, (length, "length"), core) as worker:
        seconds, answer = worker(image)
        assert answer == {"text": f"length 5 on [{core}]"}
        assert 0 < seconds < 1
        with pytest.raises(RuntimeError, match="ValueError: there is nothing in it"):
            worker(empty)


def test_one_that_dies_is_no_silence_and_its_last_words_are_told() -> None:
    with pytest.raises(RuntimeError, match=r"the process ended with 3\n +the last words"):
        Worker(fall, ("3",), max(os.sched_getaffinity(0)))


def test_what_is_not_installed_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rapidocr_openvino", None)
    with pytest.raises(Missing, match="rapidocr-openvino is not installed"):
        rapidocr("openvino")


def test_all_work_side_by_side_and_every_image_has_its_turn() -> None:
    seen: list[Path] = []

    def ask(image: Path) -> None:
        seen.append(image)
        time.sleep(0.05)

    images = [Path("one"), Path("two"), Path("three")]
    load = saturate([ask] * 4, images, 0.5)
    assert load.rate == pytest.approx(4 / 0.05, rel=0.25)
    assert len(load.times) == len(seen)
    assert min(load.times) >= 0.05
    counts = [seen.count(image) for image in images]
    assert max(counts) - min(counts) <= 1


def test_each_of_those_that_answer_meets_each_image() -> None:
    met: dict[str, list[Path]] = {"first": [], "second": []}
    free, lock = ["first", "second"], threading.Lock()

    def ask(image: Path) -> None:
        """Whoever is free answers."""
        with lock:
            who = free.pop(0)
        met[who].append(image)
        time.sleep(0.02)
        with lock:
            free.append(who)

    images = [Path(str(number)) for number in range(8)]
    meet([ask] * 2, images)
    assert [set(seen) for seen in met.values()] == [set(images)] * 2


def test_no_way_comes_first_in_every_round() -> None:
    ways: dict[str, list[Any]] = {"one": [], "other": []}
    rounds = [[way for way, _ in in_turn(ways, number)] for number in range(3)]
    assert rounds == [["one", "other"], ["other", "one"], ["one", "other"]]


def test_what_must_be_done_is_done_however_long_it_takes() -> None:
    seen: list[Path] = []
    saturate([seen.append], [Path("one")], 0, at_least=5)
    assert len(seen) == 5


def test_an_ask_that_fails_ends_it() -> None:
    def ask(image: Path) -> None:
        raise ValueError(image)

    with pytest.raises(ValueError, match="one"):
        saturate([ask, lambda _: time.sleep(0.01)], [Path("one")], 60)


def test_the_work_of_a_process_is_that_of_its_children_too() -> None:
    work = "import time\nwhile time.process_time() < 0.3: pass\ntime.sleep(60)"
    start = (
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {work!r}]); time.sleep(60)"
    )
    started = process.start([sys.executable, "-c", start])
    try:
        deadline = time.monotonic() + 20
        while cpu_seconds(psutil.Process(started.pid)) < 0.3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert sum(psutil.Process(started.pid).cpu_times()[:2]) < 0.3
    finally:
        process.stop_group(started.pid, grace=0)
        started.wait()


def feed(name: str, *shape: int) -> Feed:
    return Feed(Path(name), (("image", shape),))


def test_the_most_frequent_shape_is_typical_and_of_as_frequent_ones_that_of_middle_size() -> None:
    often = [feed("a", 1, 2), feed("b", 1, 9), feed("c", 1, 2)]
    assert feeds.typical(often, 1) == [often[0]]
    once = [feed("small", 1, 1), feed("middle", 1, 5), feed("large", 1, 50)]
    assert [item.file.name for item in feeds.typical(once, 2)] == ["middle", "small"]
    assert feeds.typical(once, 9) != once
    assert len(feeds.typical(once, 9)) == 3


def test_models_take_turns_at_each_item_and_only_what_is_exported_meets_items_one_by_one() -> None:
    native = Way(models.NATIVE, Path("n"), PredictorOptions(), exported=True)
    served = Way("served", Path("s"), PredictorOptions(backend="onednn"), exported=False)
    asked: list[tuple[str, int]] = []

    def worker(name: str, cost: float) -> Callable[[Any], float]:
        def do(files: Any) -> float:
            asked.append((name, len(files)))
            return cost * len(files)

        return do

    item = Fed((feed("all", 3, 1),), (feed("1", 1), feed("2", 1), feed("3", 1)))
    seconds = models.in_turn({native: worker("native", 1.0), served: worker("served", 0.5)}, [item] * 2, 2)
    assert seconds == {models.NATIVE: [[3.0, 3.0]] * 2, "served": [[0.5, 0.5]] * 2}
    assert set(asked) == {("native", 3), ("served", 1)}
    # Two images, a round that warms up and two that count. What compiles nothing warms up at the first one alone.
    assert sorted(asked[:2]) == [("native", 3), ("served", 1)]
    assert asked[2] == ("served", 1)
    assert len(asked) == 3 + 2 * 2 * 2
    # Neither way is always the first.
    assert {asked[index][0] for index in range(3, len(asked), 2)} == {"native", "served"}


def test_parts_and_numbers_of_clients_that_make_no_sense_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "release.yml").touch()
    release = ["--release", str(tmp_path)]
    assert bench._options([*release, "--parts", "models,stages"]).parts == ["models", "stages"]
    for wrong, message in (
        (["--parts", "modles"], "modles: not one of"),
        (["--concurrency", "0"], "above 0"),
    ):
        with pytest.raises(SystemExit):
            bench._options([*release, *wrong])
        assert message in capsys.readouterr().err
