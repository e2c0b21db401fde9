from __future__ import annotations

from typing import Any

import pytest

from tests.tuning.synthetic import spec
from toolkit.spec.tune import TuneServingSpec
from toolkit.spec.tuned import Choice
from toolkit.tuning import space
from toolkit.tuning.space import Configuration


def values(found: space.Space, name: str) -> list[Any]:
    return list({each.values[name]: None for each in found.configurations})


def test_the_default_is_the_spec_as_it_is_with_as_many_replicas_as_the_cores_bear() -> None:
    found = space.of(spec(), 4, ("release",))
    assert found.configurations[0] is found.default
    assert found.default.values == {
        "variant": "release",
        "replicas": 4,
        "threads": 1,
        "workers": 2,
        "rec.batch_width": 1280,
    }


def test_the_spec_s_own_value_is_tried_though_it_is_not_named() -> None:
    found = space.of(spec(serving=TuneServingSpec(workers=(5,)), options={}), 2, ("release",))
    assert values(found, "workers") == [2, 5]


def test_what_is_not_to_be_tuned_has_one_configuration() -> None:
    found = space.of(spec(serving=TuneServingSpec(), options={}), 2, ("release",))
    assert list(found.configurations) == [found.default]


@pytest.mark.parametrize(
    ("cores", "expected"),
    [(1, {(1, 1)}), (2, {(2, 1), (1, 2), (1, 1)}), (4, {(4, 1), (1, 1), (2, 2), (1, 2)})],
)
def test_more_threads_than_cores_are_not_tried(cores: int, expected: set[tuple[int, int]]) -> None:
    found = space.of(spec(serving=TuneServingSpec(replicas=(1,), threads=(2,))), cores, ("release",))
    assert {(each.values["replicas"], each.values["threads"]) for each in found.configurations} == expected


def test_a_variant_that_the_gate_did_not_pass_is_in_no_configuration() -> None:
    assert values(space.of(spec(), 2, ("release",)), "variant") == ["release"]
    assert values(space.of(spec(), 2, ("release", "fp32")), "variant") == ["release", "fp32"]


def test_no_configuration_is_there_twice() -> None:
    found = space.of(spec(), 2, ("release",))
    assert len({each.key for each in found.configurations}) == len(found.configurations) == 18


def test_each_value_is_had_with_as_little_else_as_can_be() -> None:
    found = space.of(spec(), 2, ("release", "fp32"))
    beside = [each.beside(found.default) for each in found.alone()]
    assert sorted(beside, key=str) == sorted(
        [
            {},
            {"variant": "fp32"},
            {"replicas": 1, "threads": 2},  # two replicas with two threads are too many for two cores
            {"workers": 1},
            {"workers": 3},
            {"rec.batch_width": 640},
            {"rec.batch_width": 2560},
        ],
        key=str,
    )


def test_a_list_is_a_value_too() -> None:
    buckets = spec(options={"rec": {"widths": ((320, 640), (1280,))}}, serving=TuneServingSpec())
    found = space.of(buckets, 2, ("release",))
    assert len(found.configurations) == 3
    assert len(found.alone()) == 3


def test_a_configuration_is_a_choice_for_the_spec() -> None:
    configuration = Configuration({"variant": "fp32", "replicas": 1, "threads": 2, "rec.batch_width": 640})
    assert configuration.choice == Choice(
        variant="fp32", serving={"replicas": 1, "threads": 2}, options={"rec": {"batch_width": 640}}
    )
    applied = configuration.choice.applied(spec())
    assert (applied.serving.threads, applied.models["rec"].options["batch_width"]) == (2, 640)
    assert applied.models["rec"].options["batch"] == spec().models["rec"].options["batch"]
