"""What a pipeline may be built for, and what does not go with what."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from tests.spec.test_load import SPEC
from toolkit.spec.pipeline import PipelineSpec

SHA = "ab" * 32


def spec(**changes: Any) -> PipelineSpec:
    return PipelineSpec.model_validate_json(json.dumps({**SPEC, **changes}))


def refusal(**changes: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        spec(**changes)
    return str(caught.value)


def test_without_a_word_of_it_a_pipeline_is_for_x86_and_the_tournament_decides() -> None:
    assert (spec().target, spec().cpp, spec().judged_in) == ("x86-cpu", None, None)


def test_keys_of_stages_are_as_they_were_before_there_was_other_hardware() -> None:
    dumped = spec(target="nvidia-gpu", device={"precision": "fp32"}).model_dump(mode="json")
    assert dumped == spec().model_dump(mode="json")
    assert {"target", "device", "cpp"}.isdisjoint(dumped)


@pytest.mark.parametrize(
    ("target", "precision", "on_device", "here"),
    [
        ("nvidia-gpu", None, "fp16", "fp32"),
        ("nvidia-gpu", "fp32", "fp32", "fp32"),
        ("nvidia-tensorrt", None, "fp16", "fp32"),
        ("nvidia-tensorrt", "int8", "int8", "int8"),
        ("arm-cpu", None, "fp32", "fp32"),
        ("kunlun-xpu", None, "fp32", "fp32"),
    ],
)
def test_what_the_device_runs_in_decides_what_models_are_judged_in(
    target: str, precision: Any, on_device: str, here: str
) -> None:
    found = spec(target=target, device={"precision": precision})
    assert (found.device_precision, found.judged_in) == (on_device, here)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "tpu"}, "Input should be 'x86-cpu', 'arm-cpu'"),
        ({"device": {"id": 1}}, "device: it is for a `target` other than x86-cpu"),
        (
            {"target": "arm-cpu", "device": {"precision": "fp16"}},
            "device.precision: arm-cpu takes fp32, not fp16",
        ),
        ({"target": "nvidia-gpu", "device": {"precision": "int8"}}, "nvidia-gpu takes fp16, fp32, not int8"),
        (
            {"target": "nvidia-gpu", "engines": ["paddle", "openvino"]},
            "engines: nvidia-gpu runs in paddle alone",
        ),
        ({"target": "nvidia-gpu", "gate": {"levels": ["AVX2"]}}, "gate.levels: they are of x86 processors"),
        (
            {"cpp": {"binary_sha256": SHA}, "engines": ["paddle", "openvino"]},
            "engines: the C++ server runs models in paddle alone",
        ),
        ({"cpp": {}}, "binary_sha256"),
        ({"cpp": {"binary_sha256": "ab"}}, "String should match pattern"),
        ({"cpp": {"binary_sha256": SHA, "thread": 2}}, "greater than or equal to 4"),
        (
            {"cpp": {"binary_sha256": SHA}, "target": "nvidia-tensorrt"},
            "cpp: its command takes no shape ranges",
        ),
        (
            {"cpp": {"binary_sha256": SHA}, "target": "nvidia-gpu", "device": {"precision": "fp16"}},
            "the C++ server runs models in fp32 on nvidia-gpu",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], message: str) -> None:
    assert message in refusal(**changes)


def test_the_cpp_server_takes_one_model() -> None:
    models = {**SPEC["models"], "more": SPEC["models"]["net"]}
    told = refusal(cpp={"binary_sha256": SHA}, models=models, steps=["net", "more"])
    assert "so it takes one step, not 2" in told


def test_the_cpp_server_serves_what_was_judged_in_fp32() -> None:
    assert spec(cpp={"binary_sha256": SHA}).judged_in == "fp32"
