from __future__ import annotations

import re
from pathlib import Path

import pytest
from typing_extensions import get_args

from toolkit.errors import ServiceError
from toolkit.hardware import DEFAULT, HARDWARE, TargetName

DOCS = Path(__file__).resolve().parents[1] / "docs" / "targets.md"
NVIDIA = frozenset({"paddlepaddle-gpu", "paddle-serving-server-gpu"})


def test_the_spec_takes_the_hardware_that_there_is() -> None:
    assert get_args(TargetName) == tuple(HARDWARE)


def test_this_kind_of_machine_alone_is_verified() -> None:
    assert [item.name for item in HARDWARE.values() if item.verified] == [DEFAULT]


def test_the_docs_have_a_row_for_each_kind_with_its_number_and_precisions() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for item in HARDWARE.values():
        row = re.search(rf"^\| `{item.name}` \| {item.device_type} \|(.*)\|$", text, flags=re.MULTILINE)
        assert row is not None, item.name
        assert item.is_default or row.group(1).split("|")[0].strip() == ", ".join(item.precisions)


def test_everything_that_is_missing_is_named(tmp_path: Path) -> None:
    assert HARDWARE["nvidia-gpu"].missing("aarch64", frozenset({"numpy"}), tmp_path) == [
        "the processor is aarch64, not x86_64",
        f"no driver: {tmp_path}/nvidia0 is not there",
        "the package paddlepaddle-gpu is not installed",
        "the package paddle-serving-server-gpu is not installed",
    ]


def test_where_all_is_there_nothing_is_missing(tmp_path: Path) -> None:
    for node in ("nvidia0", "xpu0"):
        (tmp_path / node).touch()
    assert HARDWARE["nvidia-tensorrt"].missing("x86_64", NVIDIA, tmp_path) == []
    assert HARDWARE["arm-cpu"].missing("aarch64", frozenset(), tmp_path) == []
    xpu = frozenset({"paddle-serving-server-xpu"})
    assert HARDWARE["kunlun-xpu"].missing("aarch64", xpu, tmp_path) == []


@pytest.mark.parametrize("name", [name for name in HARDWARE if name != DEFAULT])
def test_hardware_that_is_not_here_is_refused_with_what_is_missing_and_what_to_do(name: str) -> None:
    with pytest.raises(ServiceError, match=f"this machine cannot run the target {name}: ") as caught:
        HARDWARE[name].require()
    assert "make targets" in str(caught.value.remedy)
    assert HARDWARE[name].base in str(caught.value.remedy)


def test_the_default_runs_here() -> None:
    HARDWARE[DEFAULT].require()
