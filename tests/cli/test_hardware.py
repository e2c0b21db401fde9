"""What commands say of a pipeline for hardware that is not here, and of one for the C++ server."""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.spec.test_load import SPEC, pipeline_folder
from toolkit.cli import main as program
from toolkit.stages import dataset, evaluate
from toolkit.store import digest

CPP = {"cpp": {"binary_sha256": "ab" * 32}}


@pytest.fixture(autouse=True)
def nothing_stays_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tracebacks go to a folder of the test; the signal handler that a command sets goes with it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("SERVING_BIN", raising=False)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(autouse=True)
def nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: Any) -> None:
        raise AssertionError("minutes are spent before the refusal")

    for module in (evaluate, dataset):
        monkeypatch.setattr(module, "run", build)


def run(tmp_path: Path, command: str, *arguments: str, **spec: Any) -> int:
    folder = tmp_path / "pipelines"
    if not folder.exists():
        pipeline_folder(tmp_path)
    (folder / "tiny" / "pipeline.yml").write_text(json.dumps({**SPEC, **spec}))
    places = ["--model", "tiny", "--pipelines", str(folder), "--build", str(tmp_path / "build")]
    with pytest.raises(SystemExit) as ended:
        program.main([command, *places, *arguments])
    return int(ended.value.code or 0)


@pytest.mark.parametrize("command", ["deploy", "launch", "serve"])
@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("arm-cpu", "the processor is x86_64, not aarch64"),
        ("nvidia-gpu", "the package paddlepaddle-gpu is not installed"),
        ("nvidia-tensorrt", "no driver: /dev/nvidia0 is not there"),
        ("kunlun-xpu", "no driver: /dev/xpu0 is not there"),
    ],
)
def test_what_starts_a_service_refuses_a_target_that_is_not_here(
    command: str, target: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, command, "--json", target=target) == 8
    told = json.loads(capsys.readouterr().out)
    assert told["message"].startswith(f"this machine cannot run the target {target}: ")
    assert message in told["message"]
    assert "make targets" in told["remedy"]


@pytest.mark.parametrize("command", ["deploy", "launch", "serve"])
def test_what_starts_a_service_refuses_a_cpp_server_without_its_binary(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, command, "--json", **CPP) == 8
    told = json.loads(capsys.readouterr().out)
    assert told["message"].endswith("SERVING_BIN names none; nothing is downloaded")


@pytest.mark.parametrize("command", ["launch", "serve"])
def test_settings_that_the_cpp_server_does_not_take_are_refused_before_anything_is_built(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    binary = tmp_path / "serving"
    binary.write_text("#!/bin/sh")
    binary.chmod(0o755)
    monkeypatch.setenv("SERVING_BIN", str(binary))
    assert run(tmp_path, command, "--json", cpp={"binary_sha256": digest.of_file(binary)}) == 8
    told = json.loads(capsys.readouterr().out)
    assert "listens on all addresses" in told["message"]


def test_a_deployment_of_the_cpp_server_is_refused_since_nothing_could_prove_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.serving.cpp.binary", lambda _: Path("serving"))
    assert run(tmp_path, "deploy", "--json", **CPP) == 8
    assert "golden images cannot prove" in json.loads(capsys.readouterr().out)["message"]


def test_another_precision_than_that_of_the_target_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "evaluate", "--json", "--precision", "bf16", target="nvidia-gpu") == 3
    told = json.loads(capsys.readouterr().out)
    assert told["message"].endswith("models are judged in fp32 here, not in bf16")


def test_what_is_judged_for_other_hardware_is_said_to_be_judged_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "evaluate", target="nvidia-gpu")
    told = capsys.readouterr()
    assert "nvidia-gpu" in told.err + told.out
    assert "not verified" in told.err + told.out


def test_targets_are_rendered_for_hardware_that_is_not_here(tmp_path: Path) -> None:
    assert run(tmp_path, "targets", "--only", "kubernetes", target="nvidia-gpu") == 0
    found = tmp_path / "build" / "tiny" / "targets" / "kubernetes" / "base" / "deployment.yml"
    assert "nvidia.com/gpu: 1" in found.read_text()
