from __future__ import annotations

from typing import Any

from tests.report import examples
from toolkit.report import advice, outcomes


def titles(evaluation: dict[str, Any]) -> str:
    return "\n".join(item.title for item in advice.advise(evaluation))


def test_ranges_that_validation_exceeds_come_first_the_worst_on_top() -> None:
    found = advice.advise(examples.failed())[0]
    assert "calibration data does not look like the validation data" in found.remedy
    # 19.2 / 6 = 3.2 times, 3 / 2 = 1.5 times.
    assert [fact.split(":")[0] for fact in found.facts] == ["relu_7", "relu_0"]
    assert "(3.2 times)" in found.facts[0]


def test_too_few_samples_say_how_many_would_decide() -> None:
    (found,) = [item for item in advice.advise(examples.inconclusive()) if "too few" in item.title]
    assert "About 240 samples would decide" in found.remedy
    assert "0.31 points lost on 82 samples" in found.facts[0]


def test_where_no_number_of_samples_decides_the_policy_is_named() -> None:
    evaluation = examples.inconclusive()
    evaluation["models"]["det"]["candidates"][2]["verdict"]["needed"] = None
    (found,) = [item for item in advice.advise(evaluation) if "too few" in item.title]
    assert "`inconclusive`" in found.remedy


def test_an_int8_share_at_the_floor_is_no_reason() -> None:
    evaluation = examples.failed()
    evaluation["models"]["det"]["candidates"][2]["share"]["int8"] = 0.5
    assert "multiply-accumulates" not in titles(evaluation)


def test_layers_in_int8_that_keep_little_of_their_signal_are_named_the_weakest_first() -> None:
    evaluation = examples.failed()
    weak = [
        examples.layer("a", sqnr=14.0),
        examples.layer("b", sqnr=9.0),
        examples.layer("c", "fp32", sqnr=2.0),
    ]
    evaluation["models"]["det"]["layers"] += [*weak, examples.layer("d", sqnr=None)]
    (found,) = [item for item in advice.advise(evaluation) if "dB" in item.title]
    assert found.title == "det: 2 INT8 layers keep less than 15 dB of their signal"
    assert [fact.split(",")[0] for fact in found.facts] == ["b (conv2d): 9.0 dB", "a (conv2d): 14.0 dB"]
    assert "0.125 % of its input clipped" in found.facts[0]


def test_layers_that_were_reverted_in_vain_are_named_with_what_they_gave_back() -> None:
    (found,) = [item for item in advice.advise(examples.failed()) if "was not enough" in item.title]
    assert found.facts == ("conv2d_1 gives back 0.40 points", "conv2d_5")
    assert "more would have left less in INT8 than is asked for" in found.title


def test_a_model_that_passes_is_not_blamed_for_one_that_fails() -> None:
    evaluation = examples.failed()
    evaluation["models"]["rec"] = {**examples.model(), "fallback": evaluation["models"]["det"]["fallback"]}
    assert "rec:" not in titles(evaluation)


def test_a_failure_that_nothing_explains_still_gets_advice() -> None:
    assert "Nothing in the data explains" in titles({"passed": False})


def test_a_clean_pass_asks_for_nothing() -> None:
    evaluation = examples.passed()
    evaluation["data"]["warnings"] = []
    assert advice.advise(evaluation) == ()


def test_an_end_to_end_verdict_that_is_inconclusive_makes_the_whole_inconclusive() -> None:
    evaluation = examples.passed()
    evaluation["end_to_end"]["verdict"]["outcome"] = "inconclusive"
    assert outcomes.outcome(evaluation) == "inconclusive"
    assert "passes" not in outcomes.sentence(evaluation)


def test_a_relative_limit_is_told_in_points_of_the_model() -> None:
    evaluation = examples.passed()
    evaluation["gate"].update(max_drop=2.0, relative=True)
    # 2 % of 0.85 are 1.7 points.
    limit = outcomes.limit_in_points(evaluation, evaluation["models"]["det"])
    assert limit is not None
    assert abs(limit - 1.7) < 1e-9
