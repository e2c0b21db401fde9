"""Releases for other hardware: their configs, and that those for x86 processors know nothing of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest
import yaml

from tests.stages import planted
from tests.stages.planted import A, Plant, World
from toolkit import cpu
from toolkit.serving import config, cpp, release
from toolkit.spec.hardware import CppSpec, DeviceSpec
from toolkit.stages import device, ranges, render
from toolkit.stages.context import Context
from toolkit.store.artifact import Artifact

RANGES = {
    "min_input_shape": {"image": [1, 3, 320, 320]},
    "opt_input_shape": {"image": [1, 3, 960, 672]},
    "max_input_shape": {"image": [1, 3, 960, 960]},
}


@pytest.fixture(autouse=True)
def planted_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "run", lambda _, name: planted.artifact(RANGES, f"ranges-{name}"))


def made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, precision: Optional[str], **changes: Any
) -> Artifact:
    """A release of a spec with these keys, judged in one precision as the command line makes it."""
    monkeypatch.setattr(cpu, "level", lambda: "AVX512_CORE_VNNI")
    planted.install_convert(monkeypatch, tmp_path)
    world = World({("det", A): Plant(ratio=1.5)}, {"det": [A]})
    outcome = planted.evaluated(world, monkeypatch, tmp_path, precision=precision)
    run = outcome.context
    changed: Context = replace(run, spec=run.spec.model_copy(update=changes))
    assert changed.spec.judged_in == precision
    return render.run(changed, replace(outcome, context=changed))


def service(place: Path) -> Any:
    told = yaml.safe_load((place / "config.yml").read_text())
    config.check(told, where="")
    return told["op"]["det"].get("local_service_conf")


def test_a_release_for_this_kind_of_processor_knows_no_device(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = made(monkeypatch, tmp_path, None).path
    assert service(path) is None
    text = (path / "release.yml").read_text()
    assert "target:" not in text
    assert "shapes:" not in text
    assert release.read(path).target == "x86-cpu"
    assert cpp.read(path) is None


def test_its_key_is_what_it_was_before_there_were_devices(tmp_path: Path) -> None:
    assert device.ingredients(planted.context(tmp_path)) == {}


def test_a_gpu_gets_the_fp32_models_and_runs_them_in_fp16(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = made(monkeypatch, tmp_path, "fp32", target="nvidia-gpu", device=DeviceSpec(id=1)).path
    assert service(path) == {
        "device_type": 1,
        "devices": "1",
        "precision": "fp16",
        "thread_num": 1,
        "ir_optim": True,
        "mem_optim": True,
        "use_calib": False,
        "min_subgraph_size": 3,
    }
    plan = release.read(path)
    assert (plan.target, plan.level, plan.steps[0].precision) == ("nvidia-gpu", None, "fp16")
    assert plan.steps[0].predictor["precision"] == "fp32"
    assert plan.steps[0].shapes == {}


def test_tensorrt_gets_the_int8_model_with_ranges_and_its_spare_is_in_fp32(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wanted = DeviceSpec(precision="int8", min_subgraph_size=8)
    path = made(monkeypatch, tmp_path, "int8", target="nvidia-tensorrt", device=wanted).path
    told = service(path)
    assert (told["device_type"], told["precision"], told["min_subgraph_size"]) == (2, "int8", 8)
    assert service(path / "fp32")["precision"] == "fp32"
    plan = release.read(path)
    assert (plan.level, plan.levels, plan.steps[0].precision) == (None, (), "int8")
    assert plan.steps[0].shapes == RANGES


def test_a_model_that_was_not_quantized_runs_in_fp32_beside_one_that_was(tmp_path: Path) -> None:
    spec = planted.context(tmp_path).spec
    wanted = {"target": "nvidia-tensorrt", "device": DeviceSpec(precision="int8")}
    run = replace(planted.context(tmp_path), spec=spec.model_copy(update=wanted))
    found = device.of(run, {"det": "int8", "rec": "fp32"})
    assert found is not None
    assert {name: item["precision"] for name, item in found.services.items()} == {
        "det": "int8",
        "rec": "fp32",
    }


@pytest.mark.parametrize(("target", "number", "devices"), [("arm-cpu", 3, ""), ("kunlun-xpu", 4, "0")])
def test_the_others_run_in_fp32(
    target: str, number: int, devices: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = service(made(monkeypatch, tmp_path, "fp32", target=target).path)
    assert (told["device_type"], told["devices"], told["precision"]) == (number, devices, "fp32")


def test_what_the_spec_says_of_a_device_makes_another_release(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = {
        made(monkeypatch, tmp_path, "fp32", **changes).key
        for changes in (
            {"target": "nvidia-gpu"},
            {"target": "nvidia-gpu", "device": DeviceSpec(precision="fp32")},
            {"target": "nvidia-tensorrt"},
            {"cpp": CppSpec(binary_sha256="ab" * 32)},
        )
    }
    assert len(keys) == 4


def test_the_arguments_of_the_cpp_server_lie_in_the_release(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = made(monkeypatch, tmp_path, "fp32", cpp=CppSpec(binary_sha256="ab" * 32, thread=8)).path
    found = cpp.read(path)
    assert found is not None
    assert (found.binary_sha256, found.arguments.thread) == ("ab" * 32, 8)
    assert (path / found.arguments.model / "model.pdiparams").is_file()


def test_an_evaluation_says_that_the_device_was_not_judged(tmp_path: Path) -> None:
    result = {"data": {"limits": ["no labels"]}, "passed": True}
    spec = planted.context(tmp_path).spec
    assert device.noted(spec, result) is result
    told = device.noted(spec.model_copy(update={"target": "nvidia-gpu"}), result)
    assert told["passed"]
    assert told["data"]["limits"] == [
        "no labels",
        "it was judged on an x86 processor, in fp32: how accurate and fast nvidia-gpu is in fp16 is not verified",
    ]
