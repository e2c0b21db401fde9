from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from toolkit.engines.options import PredictorOptions

INT8 = PredictorOptions("int8", "onednn", threads=2, cache_capacity=8, op_set=("conv2d", "fused_conv2d"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int4"}, "int4"),
        ({"backend": "cuda"}, "cuda"),
        ({"precision": "bf16"}, "native kernels"),
        ({"precision": "int8", "op_set": ("conv2d",)}, "native kernels"),
        ({"precision": "int8", "backend": "onednn"}, "explicit op_set"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PredictorOptions(**options)


def test_options_survive_json() -> None:
    data = json.loads(json.dumps(INT8.to_json()))
    assert PredictorOptions.from_json(data) == INT8
    assert PredictorOptions.from_json(data).digest == INT8.digest


@pytest.mark.parametrize(
    "other",
    [
        replace(INT8, threads=1),
        replace(INT8, cache_capacity=9),
        replace(INT8, op_set=("conv2d",)),
        replace(INT8, precision="bf16"),
    ],
)
def test_every_option_is_part_of_the_digest(other: PredictorOptions) -> None:
    assert other.digest != INT8.digest


def test_openvino_takes_from_the_program_what_runs_in_int8() -> None:
    assert PredictorOptions("int8", "openvino").label == "int8"


def test_options_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        INT8.threads = 4


def test_the_label_tells_the_reference_from_fp32_in_onednn() -> None:
    assert [PredictorOptions().label, PredictorOptions(backend="onednn").label, INT8.label] == [
        "native",
        "fp32",
        "int8",
    ]
