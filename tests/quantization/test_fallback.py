from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from typing import Callable, Optional

import pytest

from toolkit.quantization.fallback import CRASHED, Fallback, Layer, Limits, search

Damage = Callable[[frozenset[str]], Optional[float]]


class Bench:
    """Measures what was planted, and remembers what it was asked."""

    def __init__(self, damage: Damage) -> None:
        self.damage = damage
        self.batches: list[list[frozenset[str]]] = []

    def __call__(self, sets: Sequence[frozenset[str]]) -> list[Optional[float]]:
        self.batches.append(list(sets))
        return [self.damage(item) for item in sets]


def network(suspicion: Callable[[int], float] = lambda index: 0.0, size: int = 60) -> list[Layer]:
    return [Layer(f"conv_{index}", 1 / size, suspicion(index)) for index in range(size)]


def find(damage: Damage, limits: Limits, layers: Optional[list[Layer]] = None) -> Fallback:
    return search(layers or network(), Bench(damage), limits)


def actions(result: Fallback, name: str) -> list[str]:
    """What was done to a layer."""
    return [step.action for step in result.steps if name in step.layers and step.action != "split"]


@pytest.mark.parametrize("bad", [0, 17, 29, 30, 59])
def test_one_bad_layer_of_60_is_found_in_14_evaluations(bad: int) -> None:
    # The start and all in float, then two halves of 60, 30, 15, 8 or 7, 4 or 3, 2: six times two.
    result = find(lambda floats: 0.1 + 5 * (f"conv_{bad}" not in floats), Limits(0.5))
    assert result.names == {f"conv_{bad}"}
    assert result.evaluations <= 14
    assert result.passed
    assert result.damage == pytest.approx(0.1)
    assert result.share == pytest.approx(59 / 60)
    assert result.excluded[0].gave_back == pytest.approx(5)
    assert result.exhausted is None


def test_a_misleading_prior_costs_little() -> None:
    layers = network(lambda index: -10.0 if index == 17 else 0.0)
    result = find(lambda floats: 0.1 + 5 * ("conv_17" not in floats), Limits(0.5), layers)
    assert result.names == {"conv_17"}
    assert result.evaluations <= 14


def test_the_prior_decides_what_is_tried_first() -> None:
    bench = Bench(lambda floats: 5.0 * ("conv_3" not in floats))
    search(network(lambda index: float(index in (3, 5)), 8), bench, Limits(0.5))
    assert bench.batches[1] == [
        {"conv_3", "conv_5", "conv_0", "conv_1"},
        {"conv_2", "conv_4", "conv_6", "conv_7"},
    ]


@pytest.mark.parametrize("pair", [{"conv_7", "conv_44"}, {"conv_7", "conv_8"}])
def test_two_layers_that_only_help_together_are_found(pair: set[str]) -> None:
    result = find(lambda floats: 0.1 + 5 * (not pair <= floats), Limits(0.5))
    assert result.names == pair
    assert result.passed
    assert result.evaluations <= 26


def test_layers_that_only_help_together_are_found_beside_one_that_helps_alone() -> None:
    pair = {"conv_7", "conv_44"}
    result = find(lambda floats: 5 * (not pair <= floats) + 3 * ("conv_20" not in floats), Limits(0.5))
    assert result.names == pair | {"conv_20"}
    assert [item.gave_back for item in result.excluded] == [5, 5, 3]


def test_many_small_culprits_that_the_prior_knows_are_found_as_a_block() -> None:
    # Fifteen depthwise convolutions with 2 thousandths of the work each cost 0.2 points each.
    def depthwise(index: int) -> bool:
        return index % 4 == 1

    layers = [
        Layer(f"conv_{index}", 0.002 if depthwise(index) else 0.97 / 45, 9.0 * depthwise(index))
        for index in range(60)
    ]
    guilty = {f"conv_{index}" for index in range(60) if depthwise(index)}
    result = find(lambda floats: 0.1 + 0.2 * len(guilty - floats), Limits(0.5), layers)
    # 0.1 + 2 * 0.2 is the target: two of the fifteen may go back.
    assert len(result.names) == 13
    assert result.names <= guilty
    assert result.damage == pytest.approx(0.5)
    assert result.evaluations <= 40


@pytest.mark.parametrize("seed", range(20))
def test_noise_does_not_revert_the_network(seed: int) -> None:
    def noisy(floats: frozenset[str]) -> float:
        noise = random.Random(f"{seed} {sorted(floats)}").gauss(0, 0.2)
        return 0.3 + 4 * ("conv_17" not in floats) + noise

    result = find(noisy, Limits(0.5, noise=0.4, evaluations=60))
    assert "conv_17" in result.names
    assert len(result.names) <= 4
    assert result.passed


def test_gains_within_noise_prove_nothing() -> None:
    result = find(lambda floats: 1.0 if "conv_3" in floats else 1.2, Limits(0.9, noise=0.3))
    assert result.names == frozenset()
    assert not result.passed
    assert result.exhausted == "gains"
    assert result.steps[-1].why == "nothing that is left gives back more than noise"


def test_what_only_helped_while_another_was_quantized_is_stepped_back() -> None:
    # `cheap` gives back 4 of 5 points for a tenth of the work of `dear`, which gives back all 5. Reverting `late` too
    # is needed, and `dear` gives more than `cheap` in the end.
    def damage(floats: frozenset[str]) -> float:
        rest = 0.0 if "dear" in floats else 1.0 if "cheap" in floats else 5.0
        return rest + 3 * ("late" not in floats)

    layers = [Layer("cheap", 0.03), Layer("late", 0.1), Layer("dear", 0.3), Layer("rest", 0.57)]
    result = find(damage, Limits(0.5), layers)
    assert result.names == {"dear", "late"}
    assert actions(result, "cheap") == ["revert", "requantize"]


def test_at_the_least_share_one_that_gives_more_takes_the_place_of_another() -> None:
    # As above; with `cheap` and `late` in float 0.3 of the work may still be reverted, and `dear` is 0.35.
    def damage(floats: frozenset[str]) -> float:
        rest = 0.0 if "dear" in floats else 1.0 if "cheap" in floats else 5.0
        return rest + 3 * ("late" not in floats)

    layers = [Layer("cheap", 0.1), Layer("late", 0.1), Layer("rest", 0.45), Layer("dear", 0.35)]
    result = find(damage, Limits(0.5), layers)
    assert result.names == {"dear", "late"}
    assert result.share == pytest.approx(0.55)
    assert result.passed
    assert [step.action for step in result.steps if "dear" in step.layers][2] == "revert"
    assert actions(result, "cheap") == ["revert", "requantize"]


def test_layers_are_ranked_anew_after_each_that_is_reverted() -> None:
    # Alone b gives back 3.5 points and c 3. With a in float, which gives 4, b gives 1.1 only. Two may be reverted.
    def damage(floats: frozenset[str]) -> float:
        both = {(False, False): 6.0, (True, False): 2.0, (False, True): 2.5, (True, True): 0.9}
        return both["a" in floats, "b" in floats] + 3 * ("c" not in floats)

    result = find(damage, Limits(1.0), [Layer(name, 0.25) for name in "abcd"])
    assert result.names == {"a", "c"}
    assert (result.damage, result.exhausted) == (2.0, "share")
    assert actions(result, "b") == ["refuse"]


def test_of_equals_the_largest_is_quantized_again() -> None:
    layers = [Layer("a", 0.05), Layer("b", 0.2), Layer("c", 0.1), Layer("d", 0.65)]
    # Any one of a, b, c may be quantized.
    result = search(layers, Bench(lambda floats: 1.0 * len({"a", "b", "c"} - floats)), Limits(1.0), "abc")
    assert result.names == {"a", "c"}
    assert result.share == pytest.approx(0.85)


def test_a_group_is_reverted_as_one() -> None:
    layers = [Layer(f"conv_{index}", 1 / 8, group="head" if index in (2, 6) else None) for index in range(8)]
    bench = Bench(lambda floats: 5.0 * ("conv_6" not in floats))
    result = search(layers, bench, Limits(0.5))
    assert [item.layers for item in result.excluded] == [("conv_2", "conv_6")]
    assert result.excluded[0].macs == pytest.approx(0.25)
    assert all(("conv_2" in item) == ("conv_6" in item) for batch in bench.batches for item in batch)


def test_when_all_layers_are_bad_it_stops_at_the_least_share() -> None:
    result = find(lambda floats: 0.1 * (60 - len(floats)), Limits(0.5))
    assert not result.passed
    assert result.exhausted == "share"
    assert len(result.names) == 30
    assert result.share == pytest.approx(0.5)
    assert result.damage == pytest.approx(3)
    assert result.steps[-1].why == "reverting more would leave less than 50% quantized"
    assert result.evaluations <= 105


def test_a_search_that_is_cut_short_has_reverted_what_it_found() -> None:
    result = find(lambda floats: 0.1 * (60 - len(floats)), Limits(0.5, evaluations=40))
    assert result.exhausted == "budget"
    assert len(result.names) >= 10
    assert result.damage == pytest.approx(0.1 * (60 - len(result.names)))


def test_when_hardly_any_layer_may_be_quantized_reverting_everything_is_no_way_out() -> None:
    result = find(lambda floats: 40.0 * (len(floats) < 50), Limits(0.5))
    assert not result.passed
    assert result.exhausted == "share"
    assert result.names == frozenset()
    assert result.damage == pytest.approx(40)
    assert result.evaluations <= 80


def test_damage_that_is_not_the_layers_ends_the_search_at_once() -> None:
    result = find(lambda floats: 2.0 + 3.0 * ("conv_1" not in floats), Limits(0.5))
    assert result.evaluations == 2
    assert result.exhausted == "gains"
    assert result.steps[-1].why == "with all of these layers in float it still loses 2.00 points"


def test_a_model_that_passes_is_left_alone() -> None:
    result = find(lambda floats: 0.4, Limits(0.5))
    assert result.passed
    assert result.names == frozenset()
    assert result.evaluations == 2


def test_a_start_is_cut_down_to_what_is_needed() -> None:
    bench = Bench(lambda floats: 5.0 * ("conv_9" not in floats))
    result = search(network(), bench, Limits(0.5), start=[f"conv_{index}" for index in range(16)])
    assert result.names == {"conv_9"}
    # The start, all and none; then two halves of 16, 8, 4 and 2.
    assert result.evaluations == 11


def test_without_a_budget_nothing_is_measured() -> None:
    bench = Bench(lambda floats: 5.0)
    result = search(network(), bench, Limits(0.5, seconds=0), clock=lambda: 7.0)
    assert bench.batches == []
    assert (result.passed, result.damage, result.evaluations) == (False, None, 0)
    assert result.exhausted == "budget"
    assert result.steps[-1].why == "the budget of 0 s is spent"


def test_when_the_time_is_up_a_set_that_passes_is_kept_though_it_could_be_smaller() -> None:
    now = [0.0]

    def damage(floats: frozenset[str]) -> float:
        now[0] += 5
        return 0.1 + 5 * ("conv_17" not in floats)

    # Ten seconds a batch: the third shows that the first quarter is needed, not the second.
    result = search(network(), Bench(damage), Limits(0.5, seconds=25), clock=lambda: now[0])
    assert result.evaluations == 6
    assert result.passed
    assert result.exhausted == "budget"
    assert "conv_17" in result.names
    assert len(result.names) == 15


@pytest.mark.parametrize("most", [1, 2, 3, 7, 12])
def test_no_more_is_evaluated_than_allowed(most: int) -> None:
    result = find(lambda floats: 0.1 + 5 * ("conv_17" not in floats), Limits(0.5, evaluations=most))
    assert result.evaluations <= most
    assert result.exhausted == "budget"


def test_a_model_that_crashes_loses_everything_and_the_layer_at_fault_is_found() -> None:
    result = find(lambda floats: 0.1 if "conv_17" in floats else None, Limits(0.5))
    assert result.names == {"conv_17"}
    assert result.passed
    assert result.excluded[0].gave_back == pytest.approx(CRASHED - 0.1)


@pytest.mark.parametrize("size", [60, 30, 15])
def test_the_search_survives_crashes_on_its_way(size: int) -> None:
    def damage(floats: frozenset[str]) -> Optional[float]:
        return None if len(floats) == size else 0.1 + 5 * ("conv_17" not in floats)

    result = find(damage, Limits(0.5))
    assert result.names == {"conv_17"}
    assert result.passed


@pytest.mark.parametrize("parallel", [2, 3, 8])
def test_measurements_come_in_batches_and_none_twice(parallel: int) -> None:
    bench = Bench(lambda floats: 5.0 * ("conv_17" not in floats) + 3 * ("conv_40" not in floats))
    result = search(network(), bench, Limits(0.5, parallel=parallel))
    asked = [item for batch in bench.batches for item in batch]
    assert result.names == {"conv_17", "conv_40"}
    assert max(map(len, bench.batches)) == parallel
    assert len(set(asked)) == len(asked) == result.evaluations


def test_each_decision_is_on_record() -> None:
    layers = [Layer("a", 0.6), Layer("b", 0.4)]
    result = find(lambda floats: 1.0 * ("a" not in floats) + 3.0 * ("b" not in floats), Limits(1.0), layers)
    assert [(step.action, step.layers, step.damage) for step in result.steps] == [
        ("start", (), 4.0),
        ("split", ("a", "b"), 4.0),
        ("revert", ("b",), 1.0),
        ("keep", ("b",), 1.0),
    ]
    assert [step.why for step in result.steps] == [
        "loses 4.00 points",
        "points that the parts give back: a: 1.00, b: 3.00",
        "with these in float too it passes",
        "quantized alone, costs 3.00 points",
    ]
    assert result.steps[2].share == pytest.approx(0.6)
    assert json.loads(json.dumps(result.to_json()))["excluded"] == [
        {"layers": ["b"], "macs": 0.4, "gave_back": 3.0}
    ]


SCRIPT = """
from toolkit.quantization.fallback import Layer, Limits, search
bad = {"conv_3": 1.0, "conv_17": 1.0, "conv_18": 1.0, "conv_44": 1.0}
layers = [Layer(f"conv_{index}", 1 / 60) for index in range(60)]
measure = lambda sets: [sum(bad[name] for name in bad if name not in item) for item in sets]
print(search(layers, measure, Limits(1.5)).to_json())
"""


def test_the_search_is_the_same_in_every_process() -> None:
    # Sets of strings have another order in each.
    said = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1


def test_layers_that_make_no_sense_are_refused() -> None:
    bench = Bench(lambda floats: 0.0)
    with pytest.raises(ValueError, match="not unique"):
        search([Layer("a", 0.1), Layer("a", 0.1)], bench, Limits(0.5))
    with pytest.raises(ValueError, match="the start has others"):
        search([Layer("a", 0.1)], bench, Limits(0.5), start=["b"])
    with pytest.raises(ValueError, match="more than 1"):
        search([Layer("a", 0.6), Layer("b", 0.6)], bench, Limits(0.5))


def test_a_network_that_is_mostly_float_to_begin_with_is_not_measured() -> None:
    bench = Bench(lambda floats: 0.0)
    result = search([Layer("a", 0.4)], bench, Limits(0.5))
    assert (result.passed, result.exhausted, bench.batches) == (False, "share", [])
