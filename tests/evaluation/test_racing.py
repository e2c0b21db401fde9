from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Union

import pytest

from toolkit.evaluation.metrics import Counts
from toolkit.evaluation.racing import Crashed, Outcome, Race, Rules, paired, race, subsets


def recall(counts: Counts) -> float:
    return counts.recall


def lines(*right: int, of: int = 10) -> list[Counts]:
    """Samples of `of` lines each, of which so many are right."""
    return [Counts(number, of, of) for number in right]


class Track:
    """Answers with rows that were planted, and remembers what it was asked."""

    def __init__(self, rows: Mapping[str, Union[list[Counts], Crashed]], crash_after: int = 0) -> None:
        self.rows = rows
        self.crash_after = crash_after  # samples that one who crashes gets right before
        self.asked: list[tuple[tuple[str, ...], range]] = []
        self.seen: dict[str, int] = dict.fromkeys(rows, 0)

    def __call__(self, candidates: Sequence[str], fresh: range) -> list[Outcome]:
        self.asked.append((tuple(candidates), fresh))
        return [self.answer(name, fresh) for name in candidates]

    def answer(self, name: str, fresh: range) -> Outcome:
        row = self.rows[name]
        if isinstance(row, Crashed):
            if self.seen[name] >= self.crash_after:
                return row
            row = lines(*[10] * 64)
        self.seen[name] += len(fresh)
        return [row[index] for index in fresh]


def planted(seed: int, quality: Sequence[float], samples: int = 120, of: int = 20) -> dict[str, list[Counts]]:
    """Candidates that get a line right with these probabilities.

    Paired: how hard a page is, and nine tenths of the luck with a line, are the same for all of them.
    """
    draw = random.Random(seed)
    rows: dict[str, list[Counts]] = {f"c{index}": [] for index in range(len(quality))}
    for _ in range(samples):
        page = draw.gauss(0, 0.15)
        luck = [draw.random() for _ in range(of)]
        for name, chance in zip(rows, quality):
            own = [draw.random() if draw.random() < 0.1 else value for value in luck]
            right = sum(value < chance + page for value in own)
            rows[name].append(Counts(right, of, of))
    return rows


def run(rows: Mapping[str, Union[list[Counts], Crashed]], rules: Rules) -> tuple[Race[str], Track]:
    track = Track(rows)
    samples = max(len(row) for row in rows.values() if not isinstance(row, Crashed))
    return race(list(rows), samples, track, recall, rules), track


@pytest.mark.parametrize(
    ("samples", "rounds", "minimum", "expected"),
    [
        (8, 3, 1, [range(0, 8, 4), range(2, 8, 4), range(1, 8, 2)]),
        (7, 3, 1, [range(0, 7, 4), range(2, 7, 4), range(1, 7, 2)]),
        (8, 3, 4, [range(0, 8, 2), range(1, 8, 2)]),
        (3, 3, 16, [range(3)]),
        (1, 1, 1, [range(1)]),
    ],
)
def test_rounds_grow_by_doubling_and_spread_over_the_data(
    samples: int, rounds: int, minimum: int, expected: list[range]
) -> None:
    assert subsets(samples, rounds, minimum) == expected


@pytest.mark.parametrize("samples", [5, 16, 33, 110])
def test_every_sample_comes_once(samples: int) -> None:
    assert sorted(index for part in subsets(samples, 4) for index in part) == list(range(samples))


def test_the_standard_error_is_that_of_a_mean_of_paired_differences() -> None:
    # One line a sample, so recall is a mean: differences 0, 0, 0, -1; deviation 0.5; 0.5 / sqrt(4) = 0.25.
    difference, error = paired(lines(1, 0, 1, 0, of=1), lines(1, 0, 1, 1, of=1), recall)
    assert difference == pytest.approx(-0.25)
    assert error == pytest.approx(0.25)


def test_the_standard_error_of_a_ratio_knows_that_pages_differ_in_length() -> None:
    # 8 of 10 and 1 of 2 against nothing: 9/12. Without the first 1/2, without the second 8/10: mean 0.65,
    # squared deviations 2 * 0.15^2, times (2 - 1) / 2: 0.15^2.
    one = [Counts(8, 10, 10), Counts(1, 2, 2)]
    difference, error = paired(one, [Counts(0, 10, 10), Counts(0, 2, 2)], recall)
    assert difference == pytest.approx(0.75)
    assert error == pytest.approx(0.15)


def test_what_is_hard_for_both_is_no_noise() -> None:
    # Pages swing between 1 and 9 lines, yet one candidate has just one line less on each.
    ups = [9, 1] * 8
    _, error = paired(lines(*ups), lines(*[value - 1 for value in ups]), recall)
    assert error == pytest.approx(0)


def test_the_best_wins_and_sees_every_sample_while_losers_see_few() -> None:
    quality = [0.70, 0.80, 0.60, 0.88, 0.75, 0.78, 0.50, 0.81]
    result, track = run(planted(0, quality), Rules(keep=1))
    assert result.ranking[0] == "c3"
    assert result.stopped is None
    assert sorted(result.counts["c3"]) == list(range(120))
    assert track.seen["c6"] == track.seen["c2"] == 30
    assert sum(track.seen.values()) <= 8 * 30 + 4 * 30 + 2 * 60


def test_the_best_wins_in_95_of_100_races_with_noise() -> None:
    # Seven rivals, two points behind: the full 120 pages would find the best in all 100.
    quality = [0.80, 0.80, 0.80, 0.82, 0.80, 0.80, 0.80, 0.80]
    won = sum(run(planted(seed, quality), Rules())[0].ranking[0] == "c3" for seed in range(100))
    assert won >= 95


def test_a_candidate_proven_worse_goes_even_if_there_is_room() -> None:
    rows = {"good": lines(*[9, 10] * 8), "bad": lines(*[5, 6] * 8)}
    result, track = run(rows, Rules(rounds=2, minimum=4, keep=2))
    first, second = result.rounds[0]
    assert first.dropped is None
    assert second.dropped == "40.00 points behind good, more than 2 standard errors of 0.00"
    assert result.ranking == ("good",)
    assert track.seen == {"good": 16, "bad": 8}


def test_within_the_tolerance_nobody_is_dropped_for_being_worse() -> None:
    rows = {"good": lines(*[9, 10] * 8), "quick": lines(*[8, 9] * 8)}
    result, _ = run(rows, Rules(rounds=2, minimum=4, tolerance=0.11))
    assert result.ranking == ("good", "quick")


def test_places_beyond_the_half_go_in_words() -> None:
    rows = {name: lines(*[10, 10, 0, 0] * 8) for name in "abcde"}
    result, _ = run(rows, Rules(rounds=2, minimum=4))
    assert [standing.dropped for standing in result.rounds[0]] == [
        None,
        None,
        None,
        "place 4, and the best 3 go on",
        "place 5, and the best 3 go on",
    ]
    # Equals stand in the order in which they were given, which is the caller's preference.
    assert result.ranking == ("a", "b", "c")


def test_nobody_is_dropped_after_the_last_round() -> None:
    result, _ = run({"a": lines(*[9] * 4), "b": lines(*[1] * 4)}, Rules(minimum=4))
    assert len(result.rounds) == 1
    assert result.ranking == ("a", "b")
    assert result.rounds[0][1].behind == pytest.approx(0.8)


def test_a_crash_is_a_result_and_the_race_goes_on() -> None:
    rows: dict[str, Union[list[Counts], Crashed]] = {
        "bad": Crashed("signal 11"),
        "a": lines(*[8] * 16),
        "b": lines(*[9] * 16),
    }
    result, track = run(rows, Rules(minimum=4))
    assert result.ranking[0] == "b"
    assert result.crashed == {"bad": "signal 11"}
    assert result.rounds[0][-1].dropped == "crashed: signal 11"
    assert result.rounds[0][-1].score is None
    assert all("bad" not in names for names, _ in track.asked[1:])


def test_the_leader_may_crash_late() -> None:
    rows = {"bad": Crashed("out of memory"), "a": lines(*[8] * 64), "b": lines(*[7, 8] * 32)}
    track = Track(rows, crash_after=16)
    result = race(list(rows), 64, track, recall, Rules(keep=3, tolerance=1.0))
    assert [standing.candidate for standing in result.rounds[0]] == ["bad", "a", "b"]
    assert result.ranking == ("a", "b")
    assert result.crashed == {"bad": "out of memory"}
    assert result.rounds[1][-1].samples == 16


def test_when_all_crash_there_is_no_winner_and_it_is_said() -> None:
    result = race(["a", "b"], 64, Track({"a": Crashed("x"), "b": Crashed("y")}), recall)
    assert result.ranking == ()
    assert result.stopped == "every candidate crashed"
    assert len(result.rounds) == 1


def test_no_round_starts_when_the_budget_is_spent() -> None:
    now = [0.0]
    track = Track({"a": lines(*[8] * 64), "b": lines(*[9] * 64)})

    def measure(candidates: Sequence[str], fresh: range) -> list[Outcome]:
        now[0] += 60
        return track(candidates, fresh)

    rules = Rules(seconds=100, tolerance=1.0)
    result = race(["a", "b"], 64, measure, recall, rules, clock=lambda: now[0])
    assert result.stopped == "the budget of 100 s is spent, after 2 of 3 rounds"
    assert result.ranking == ("b", "a")
    assert track.seen == {"a": 32, "b": 32}


def test_without_any_budget_nothing_is_measured_and_the_order_stays() -> None:
    track = Track({"a": lines(*[8] * 64), "b": lines(*[9] * 64)})
    result = race(["a", "b"], 64, track, recall, Rules(seconds=0), clock=lambda: 0.0)
    assert track.asked == []
    assert result.ranking == ("a", "b")
    assert result.stopped == "the budget of 0 s is spent, after 0 of 3 rounds"


def test_a_round_asks_once_for_all_and_only_for_new_samples() -> None:
    _, track = run({"a": lines(*[8] * 64), "b": lines(*[8] * 64)}, Rules())
    assert track.asked == [
        (("a", "b"), range(0, 64, 4)),
        (("a", "b"), range(2, 64, 4)),
        (("a", "b"), range(1, 64, 2)),
    ]


def test_the_record_is_json_and_the_same_each_time() -> None:
    rows = planted(5, [0.7, 0.8, 0.75])
    first, second = (run(rows, Rules())[0].to_json() for _ in range(2))
    assert json.dumps(first) == json.dumps(second)
    assert first["rounds"][0][0]["samples"] == 30


def test_a_callback_that_answers_for_other_candidates_or_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="one outcome for each candidate"):
        race(["a", "b"], 4, lambda names, fresh: [lines(1, 1, 1, 1)], recall)
    with pytest.raises(ValueError, match="one result for each sample"):
        race(["a"], 4, lambda names, fresh: [lines(1)], recall)
