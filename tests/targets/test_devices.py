"""What is rendered for other hardware: what differs from x86-cpu, and that it is valid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.targets.devices import DIFFS, OTHERS, diff, on
from tests.targets.test_kubernetes import CUSTOM, KUBERNETES
from toolkit import lockfile
from toolkit.errors import SpecError
from toolkit.hardware import HARDWARE
from toolkit.spec.hardware import CppSpec
from toolkit.targets import files, packages


@pytest.mark.parametrize("target", OTHERS)
def test_what_differs_from_x86_is_what_the_golden_diff_says(target: str) -> None:
    kept = (DIFFS / f"{target}.diff").read_text(encoding="utf-8")
    assert diff(target) == kept, "run `python -m tests.targets`"


def documents(target: str) -> Iterator[dict[str, Any]]:
    for path, text in files.render(on(target), ["kubernetes"]).items():
        if path.name != "kustomization.yml":
            yield from yaml.safe_load_all(text)


@pytest.mark.parametrize("target", OTHERS)
def test_every_object_of_kubernetes_is_valid(target: str) -> None:
    for item in documents(target):
        if item["kind"] not in CUSTOM:
            kubernetes_validate.validate(item, KUBERNETES[-1], strict=True)


@pytest.mark.parametrize("target", OTHERS)
def test_a_pod_asks_for_one_device_where_there_are_devices(target: str) -> None:
    (pod,) = (item["spec"]["template"]["spec"] for item in documents(target) if item["kind"] == "Deployment")
    limits = pod["containers"][0]["resources"]["limits"]
    resource = HARDWARE[target].resource
    assert {key: value for key, value in limits.items() if key != "memory"} == (
        {resource: 1} if resource else {}
    )


@pytest.mark.parametrize("target", OTHERS)
def test_a_container_gets_the_packages_of_its_hardware_in_the_place_of_those_of_the_lock(target: str) -> None:
    hardware = HARDWARE[target]
    found = packages.requirements("ocr", hardware=hardware)
    pins = {name: set(_pinned(text)) for name, text in found.items()}
    assert pins["service.txt"].isdisjoint(hardware.packages)
    assert pins.get("device.txt", set()) == {name for name in hardware.packages.values() if name}
    assert "--hash=sha256:" in found.get("device.txt", "--hash=sha256:")
    text = files.render(on(target), ["container"])[PurePosixPath("container/Dockerfile")]
    assert ("-r requirements/device.txt" in text) == ("device.txt" in found)


def _pinned(text: str) -> Iterator[str]:
    return (line.partition("==")[0] for line in text.splitlines() if "==" in line)


def test_the_lock_of_devices_pins_what_some_hardware_needs_and_no_more() -> None:
    wanted = {name for item in HARDWARE.values() for name in item.packages.values() if name}
    assert set(lockfile.read(packages.DEVICE_LOCK)) == wanted
    assert set(lockfile.read(packages.LOCK)).isdisjoint(wanted), "`make setup` must not install them"


def test_a_second_device_is_the_one_that_a_unit_may_use() -> None:
    spec = on("nvidia-gpu")
    second = spec.model_copy(update={"device": spec.device.model_copy(update={"id": 1})})
    unit = files.render(second, ["systemd"])[PurePosixPath("systemd/serving-ocr.service")]
    assert "DeviceAllow=/dev/nvidia1 rw" in unit
    assert "nvidia0" not in unit


def test_nothing_is_rendered_for_the_cpp_server(tmp_path: Path) -> None:
    spec = on("x86-cpu").model_copy(update={"cpp": CppSpec(binary_sha256="ab" * 32)})
    with pytest.raises(SpecError, match="the C\\+\\+ server has none"):
        files.render(spec, ["kubernetes"])
