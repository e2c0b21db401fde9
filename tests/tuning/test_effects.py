from __future__ import annotations

import random

import pytest

from tests.tuning.synthetic import spec, speed
from toolkit.tuning import space
from toolkit.tuning.effects import Effects

SPACE = space.of(spec(), 2, ("release", "fp32"))


def test_effects_that_multiply_are_found_from_one_measurement_of_each_value() -> None:
    measured = SPACE.alone()
    effects = Effects(measured, [speed(each) for each in measured])
    for each in SPACE.configurations:
        assert effects.score(each) == pytest.approx(speed(each))


def test_where_as_many_are_measured_as_there_are_effects_the_spread_is_that_of_a_phase() -> None:
    measured = SPACE.alone()
    effects = Effects(measured, [speed(each) for each in measured])
    assert effects.spread == 0.05
    assert effects.hopeful(SPACE.default) == pytest.approx(speed(SPACE.default) * 1.105, rel=1e-3)


def test_the_spread_is_that_of_the_noise_where_more_is_measured() -> None:
    dice = random.Random(3)
    measured = list(SPACE.configurations)
    scores = [speed(each) * 2.718 ** dice.gauss(0, 0.2) for each in measured]
    assert Effects(measured, scores).spread == pytest.approx(0.2, rel=0.3)
