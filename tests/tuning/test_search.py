from __future__ import annotations

from dataclasses import replace
from typing import Callable, Optional

from tests.tuning.synthetic import measure, spec, speed
from toolkit.tuning import search, space
from toolkit.tuning.results import Bounds, Result
from toolkit.tuning.space import Configuration, Space

SPACE = space.of(spec(), 2, ("release", "fp32"))
WIDE = Bounds(10_000)


def searched(
    bounds: Bounds = WIDE, whole: Space = SPACE, asked: Callable[[Configuration], Result] = measure
) -> list[Result]:
    """All that is measured until nothing hopeful is left."""
    results = [asked(whole.default)]
    while (wanted := search.following(whole, results, bounds)) is not None:
        results.append(asked(wanted))
        assert len(results) <= len(whole.configurations)
    return results


def chosen(results: list[Result], bounds: Bounds = WIDE) -> Optional[Configuration]:
    found = search.best(results, bounds)
    return found.configuration if found else None


def test_the_best_is_found_without_measuring_what_is_hopeless() -> None:
    results = searched()
    assert chosen(results) == max(SPACE.configurations, key=speed)
    assert len(results) < len(SPACE.configurations) / 2


def test_after_the_default_comes_each_other_value() -> None:
    results = searched()
    alone = {each.key for each in SPACE.alone()}
    assert {each.configuration.key for each in results[: len(alone)]} == alone


def test_the_next_follows_from_what_was_measured_alone() -> None:
    results = searched()
    for count in range(1, len(results)):
        assert search.following(SPACE, results[:count], WIDE) == results[count].configuration


def test_a_service_that_the_model_does_not_describe_is_still_searched() -> None:
    """Three workers pay with wide batches only."""

    def asked(configuration: Configuration) -> Result:
        values = configuration.values
        both = values["workers"] == 3 and values["rec.batch_width"] == 2560
        return measure(configuration, noise=0.3 if both else -0.05 if values["workers"] == 3 else 0.0)

    results = searched(asked=asked)
    assert chosen(results) == max(SPACE.configurations, key=lambda each: asked(each).points[-1].throughput)


def test_a_value_that_was_refused_is_not_tried_with_others() -> None:
    def asked(configuration: Configuration) -> Result:
        if configuration.values["rec.batch_width"] == 2560:
            return Result(configuration, refused="other answers")
        return measure(configuration)

    results = searched(asked=asked)
    assert [each.configuration.beside(SPACE.default) for each in results if each.refused] == [
        {"rec.batch_width": 2560}
    ]
    best = chosen(results)
    assert best is not None
    assert (best.values["rec.batch_width"], best.values["workers"]) == (1280, 3)


def test_what_was_refused_is_never_the_best_however_fast() -> None:
    fast = replace(measure(SPACE.configurations[1]), refused="other answers")
    assert search.best([fast], WIDE) is None


def test_memory_and_p99_beyond_the_bounds_are_not_chosen() -> None:
    for bounds in (Bounds(10_000, memory=1500), Bounds(650)):
        results = searched(bounds)
        best = search.best(results, bounds)
        assert best is not None
        point = bounds.best(best)
        assert point is not None
        assert point.p99 <= bounds.p99
        assert bounds.memory is None or best.memory <= bounds.memory
    assert chosen(searched(Bounds(10_000, memory=1500)), Bounds(10_000, memory=1500)) != chosen(searched())


def test_nothing_within_the_bounds_is_no_best() -> None:
    assert search.best(searched(Bounds(1)), Bounds(1)) is None


def test_the_default_is_the_best_where_nothing_is_better() -> None:
    flat = searched(asked=lambda each: measure(each, noise=speed(SPACE.default) / speed(each) - 1))
    best = search.best(flat, WIDE)
    assert best is not None
    assert best.configuration == SPACE.default
