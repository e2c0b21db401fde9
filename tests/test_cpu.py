from __future__ import annotations

from pathlib import Path
from typing import Optional

import pytest

from toolkit import cgroup, cpu

SAPPHIRE_RAPIDS = "fpu sse avx avx2 avx512f avx512_vnni avx512_bf16 avx512_fp16 amx_tile amx_int8 amx_bf16"
CASCADE_LAKE = "fpu sse avx avx2 avx512f avx512dq avx512_vnni"
HASWELL = "fpu sse avx avx2 fma"


def cpuinfo(folder: Path, *flags: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(
        "\n".join(
            f"processor\t: {number}\nmodel name\t: A flags: B\nflags\t\t: {line}\nbugs\t\t: spectre_v1\n"
            for number, line in enumerate(flags)
        )
    )
    return path


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (CASCADE_LAKE, {"avx", "avx2", "avx512f", "avx512_vnni"}),
        (HASWELL, {"avx", "avx2"}),
        ("fpu sse", set()),
    ],
)
def test_the_features_are_the_flags_that_change_kernels(
    tmp_path: Path, flags: str, expected: set[str]
) -> None:
    assert cpu.features(cpuinfo(tmp_path, flags, flags)) == expected


def test_a_feature_that_one_processor_lacks_is_no_feature_of_the_machine(tmp_path: Path) -> None:
    assert cpu.features(cpuinfo(tmp_path, SAPPHIRE_RAPIDS, HASWELL)) == {"avx", "avx2"}


def test_a_processor_that_is_not_x86_has_no_features(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nFeatures\t: fp asimd bf16\n")
    assert cpu.features(path) == frozenset()


def test_without_cpuinfo_there_are_no_features(tmp_path: Path) -> None:
    assert cpu.features(tmp_path / "none") == frozenset()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (SAPPHIRE_RAPIDS, True),
        ("avx512_bf16", True),
        ("amx_bf16", True),
        (CASCADE_LAKE, False),
        (HASWELL, False),
    ],
)
def test_bf16_is_supported_where_it_has_instructions(tmp_path: Path, flags: str, expected: bool) -> None:
    assert cpu.supports_bf16(cpuinfo(tmp_path, flags)) is expected


@pytest.mark.parametrize(("quota", "expected"), [(None, 8), (64.0, 8), (4.0, 4), (2.5, 2), (0.5, 1)])
def test_usable_cores_are_bounded_by_affinity_and_quota(
    monkeypatch: pytest.MonkeyPatch, quota: Optional[float], expected: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(cgroup, "cpu_quota", lambda: quota)
    assert cpu.cores() == expected
